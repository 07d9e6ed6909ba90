"""The sidecar of a step whose workspace, or a source of which, is in a bucket: it alone holds the keys. Pure."""

from __future__ import annotations

import json
from typing import Any

from flywheel.api.workspace import Bucket
from flywheel.controller import labels
from flywheel.controller.mounts import FETCHED_MOUNT, WORKSPACE_MOUNT, WORKSPACE_PATH, bucket_sources
from flywheel.loop.plan import StepJob
from flywheel.workspace.sidecar import SOCKET

MODULE = "flywheel.workspace.sidecar"
_KEYS = {"ACCESS_KEY_ID": "accessKeyId", "SECRET_ACCESS_KEY": "secretAccessKey", "HOSTS": "hosts"}
_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
Object = dict[str, Any]


def sidecar_containers(job: StepJob, image: str, python: str, request: Object, security: Object) -> list[Object]:
    """An init container that always restarts: there before the step begins, stopped after it has ended. Or none."""
    place, sources = job.claims.workspace.s3, bucket_sources(job.request)
    if place is None and not sources:
        return []
    env: list[Object] = [
        {"name": "FLYWHEEL_WORKSPACE", "value": WORKSPACE_PATH},
        {"name": "FLYWHEEL_SOCKET", "value": socket_path(job)},
    ]
    if place is not None:
        # The kubelet expands $(NAME); nothing that a place may say has a $.
        env.append({"name": "FLYWHEEL_S3", "value": json.dumps(place.to_json_object(), separators=(",", ":"))})
        env += _access("S3", place)
    for number, source in sources.items():
        env += _access(f"SOURCE_{number}", source)
    container = {
        "name": labels.SIDECAR,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": [python, "-m", MODULE],
        "env": [request, *env],
        "resources": _RESOURCES,
        "volumeMounts": [{"name": "workspace", **WORKSPACE_MOUNT} if place else {"name": "fetched", **FETCHED_MOUNT}],
        "securityContext": security,
    }
    return [container]


def sidecar_environment(job: StepJob) -> list[Object]:
    """How the step finds it: for its whole workspace, or for sources only."""
    found: list[Object] = []
    if job.claims.workspace.s3 is not None:
        found.append({"name": "FLYWHEEL_SIDECAR", "value": socket_path(job)})
    if bucket_sources(job.request):
        found.append({"name": "FLYWHEEL_SOURCES", "value": socket_path(job)})
    return found


def socket_path(job: StepJob) -> str:
    """In a folder that both containers have."""
    folder = WORKSPACE_PATH if job.claims.workspace.s3 is not None else FETCHED_MOUNT["mountPath"]
    return f"{folder}/{SOCKET}"


def _access(name: str, bucket: Bucket) -> list[Object]:
    found: list[Object] = []
    for part, key in _KEYS.items():
        # Never optional: a Secret without `hosts` has not opted in, and the pod must not start.
        ref = {"name": bucket.secret_ref.name, "key": key, "optional": False}
        found.append({"name": f"FLYWHEEL_{name}_{part}", "valueFrom": {"secretKeyRef": ref}})
    if bucket.ca_bundle_ref is not None:
        bundle = {"name": bucket.ca_bundle_ref.name, "key": bucket.ca_bundle_ref.key, "optional": False}
        found.append({"name": f"FLYWHEEL_{name}_CA", "valueFrom": {"configMapKeyRef": bundle}})
    return found
