"""The sidecar of a step whose workspace, source or server is in a bucket: it alone holds the keys. Pure."""

from __future__ import annotations

import json
from typing import Any

from flywheel.api.request import PublishParameters
from flywheel.api.workspace import S3, Bucket
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
    place, sources, served = job.claims.workspace.s3, bucket_sources(job.request), _served(job)
    if place is None and not sources and served is None:
        return []
    env: list[Object] = [
        {"name": "FLYWHEEL_WORKSPACE", "value": WORKSPACE_PATH},
        {"name": "FLYWHEEL_SOCKET", "value": socket_path(job)},
    ]
    mounts: list[Object] = []
    if place is not None:
        env += [_said("FLYWHEEL_S3", place), *_access("S3", place)]
        mounts.append({"name": "workspace", **WORKSPACE_MOUNT})
    for number, source in sources.items():
        env += _access(f"SOURCE_{number}", source)
    if sources and place is None:
        mounts.append({"name": "fetched", **FETCHED_MOUNT})
    if served is not None:
        bucket, folder = served
        env += [_said("FLYWHEEL_REPOSITORY_S3", bucket), *_access("REPOSITORY", bucket)]
        mounts.append({"name": "repository", "mountPath": folder})
    container = {
        "name": labels.SIDECAR,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": [python, "-m", MODULE],
        "env": [request, *env],
        "resources": _RESOURCES,
        "volumeMounts": mounts,
        "securityContext": security,
    }
    return [container]


def sidecar_environment(job: StepJob) -> list[Object]:
    """How the step finds it: for its whole workspace, for sources, for what servers read."""
    found: list[Object] = []
    if job.claims.workspace.s3 is not None:
        found.append({"name": "FLYWHEEL_SIDECAR", "value": socket_path(job)})
    if bucket_sources(job.request):
        found.append({"name": "FLYWHEEL_SOURCES", "value": socket_path(job)})
    if _served(job) is not None:
        found.append({"name": "FLYWHEEL_REPOSITORY", "value": socket_path(job)})
    return found


def socket_path(job: StepJob) -> str:
    """In a folder that both containers have."""
    served = _served(job)
    if job.claims.workspace.s3 is not None:
        return f"{WORKSPACE_PATH}/{SOCKET}"
    return f"{served[1] if served is not None else FETCHED_MOUNT['mountPath']}/{SOCKET}"


def _served(job: StepJob) -> tuple[S3, str] | None:
    """The bucket that servers read, and the folder that is its copy; for publish alone."""
    repository, parameters = job.claims.repository, job.request.parameters
    if repository is None or repository.s3 is None or not isinstance(parameters, PublishParameters):
        return None
    return repository.s3, parameters.repository_path


def _said(name: str, place: S3) -> Object:
    # The kubelet expands $(NAME); nothing that a place may say has a $.
    return {"name": name, "value": json.dumps(place.to_json_object(), separators=(",", ":"))}


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
