"""What a step's pod mounts: only the paths that its request names, read-only but for its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flywheel.api.request import (
    CleanupParameters,
    JudgeParameters,
    PrepareParameters,
    PublishParameters,
    ReportParameters,
    StepRequest,
    TrainParameters,
)
from flywheel.loop.plan import Claims
from flywheel.workspace.manifest import MANIFEST

WORKSPACE_PATH = "/workspace"
MODEL_PATH = "/model"
Object = dict[str, Any]


@dataclass(frozen=True)
class Volumes:
    """`volumes` of the pod and `volumeMounts` of its container."""

    volumes: list[Object]
    mounts: list[Object]


def volumes(request: StepRequest, claims: Claims, scratch: str, shared_memory: str | None) -> Volumes:
    """Volumes and mounts of one step."""
    found = Volumes([], [])
    _add_claim(found, "workspace", claims.workspace, _workspace(request))
    if claims.model is not None:
        mount: Object = {"mountPath": MODEL_PATH, "readOnly": True}
        if claims.model_folder is not None:
            mount["subPath"] = claims.model_folder
        _add_claim(found, "model", claims.model, [mount])
    if claims.repository is not None and isinstance(request.parameters, PublishParameters):
        _add_claim(found, "repository", claims.repository, [{"mountPath": request.parameters.repository_path}])
    _add(found, "tmp", {"emptyDir": {"sizeLimit": scratch}}, [{"mountPath": "/tmp"}])  # noqa: S108 - inside the pod
    if shared_memory is not None:
        source = {"emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}}
        _add(found, "shared-memory", source, [{"mountPath": "/dev/shm"}])  # noqa: S108 - inside the pod
    return found


def _add_claim(found: Volumes, name: str, claim: str, mounts: Iterable[Object]) -> None:
    """Each claim is one volume: two volumes of one claim share a mount on the node, and its mode."""
    source = {"persistentVolumeClaim": {"claimName": claim}}
    known = next((entry["name"] for entry in found.volumes if entry.items() >= source.items()), None)
    if known is None:
        _add(found, name, source, mounts)
    else:
        found.mounts.extend({"name": known, **mount} for mount in mounts)


def _add(found: Volumes, name: str, source: Object, mounts: Iterable[Object]) -> None:
    found.volumes.append({"name": name, **source})
    found.mounts.extend({"name": name, **mount} for mount in mounts)


def _workspace(request: StepRequest) -> list[Object]:
    writable = _outermost(writable_paths(request))
    covered = [path for path in read_paths(request) if not _within_any(path, writable)]
    entries = [(path, False) for path in writable] + [(path, True) for path in _outermost(covered)]
    return [_mount(path, read_only) for path, read_only in sorted(entries)]


def _mount(path: str, read_only: bool) -> Object:
    mount: Object = {"mountPath": f"{WORKSPACE_PATH}/{path}", "subPath": path}
    return mount | ({"readOnly": True} if read_only else {})


def writable_paths(request: StepRequest) -> list[str]:
    """What the step may write; a report writes nothing."""
    if isinstance(request.parameters, ReportParameters):
        return []
    if isinstance(request.parameters, CleanupParameters):
        return [request.parameters.home]
    return [request.output, *request.also_writable]


def read_paths(request: StepRequest) -> list[str]:
    """What the step may read, path by path."""
    found: list[str] = []
    for entry in request.inputs:
        found += [f"{entry.path}/{part}" for part in (MANIFEST, *entry.parts)] if entry.parts else [entry.path]
    parameters = request.parameters
    if isinstance(parameters, PrepareParameters):
        found += [_parent(source.path) for source in parameters.sources]
    if isinstance(parameters, JudgeParameters) and parameters.anchors is not None:
        found.append(_parent(parameters.anchors))
    if isinstance(parameters, TrainParameters) and parameters.resume is not None:
        found.append(parameters.resume)
    if isinstance(parameters, ReportParameters):
        found.append(parameters.attempt_path)
    return found


def _parent(path: str) -> str:
    # The kubelet makes a missing subPath as a folder: mounting a missing file would put a folder in its place.
    return path.rsplit("/", 1)[0] if "/" in path else path


def _outermost(paths: Iterable[str]) -> list[str]:
    """Without doubles and without paths below others: nothing is mounted twice."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda entry: (entry.count("/"), entry)):
        if not _within_any(path, kept):
            kept.append(path)
    return kept


def _within_any(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)
