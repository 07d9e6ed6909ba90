"""The sidecar of a step whose workspace is in a bucket: it alone holds the key. Pure."""

from __future__ import annotations

import json
from typing import Any

from flywheel.api.workspace import S3
from flywheel.controller import labels
from flywheel.controller.mounts import WORKSPACE_MOUNT, WORKSPACE_PATH
from flywheel.workspace.sidecar import SOCKET

SOCKET_PATH = f"{WORKSPACE_PATH}/{SOCKET}"
MODULE = "flywheel.workspace.sidecar"
_KEYS = {"ACCESS_KEY_ID": "accessKeyId", "SECRET_ACCESS_KEY": "secretAccessKey", "HOSTS": "hosts"}
_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
Object = dict[str, Any]


def sidecar_container(place: S3, image: str, python: str, request: Object, security: Object) -> Object:
    """An init container that always restarts: there before the step begins, stopped after it has ended."""
    return {
        "name": labels.SIDECAR,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": [python, "-m", MODULE],
        "env": [request, *_environment(place)],
        "resources": _RESOURCES,
        "volumeMounts": [{"name": "workspace", **WORKSPACE_MOUNT}],
        "securityContext": security,
    }


def _environment(place: S3) -> list[Object]:
    # The kubelet expands $(NAME); nothing that a place may say has a $.
    found: list[Object] = [
        {"name": "FLYWHEEL_WORKSPACE", "value": WORKSPACE_PATH},
        {"name": "FLYWHEEL_S3", "value": json.dumps(place.to_json_object(), separators=(",", ":"))},
    ]
    for name, key in _KEYS.items():
        # Never optional: a Secret without `hosts` has not opted in, and the pod must not start.
        ref = {"name": place.secret_ref.name, "key": key, "optional": False}
        found.append({"name": f"FLYWHEEL_S3_{name}", "valueFrom": {"secretKeyRef": ref}})
    if place.ca_bundle_ref is not None:
        bundle = {"name": place.ca_bundle_ref.name, "key": place.ca_bundle_ref.key, "optional": False}
        found.append({"name": "FLYWHEEL_S3_CA", "valueFrom": {"configMapKeyRef": bundle}})
    return found
