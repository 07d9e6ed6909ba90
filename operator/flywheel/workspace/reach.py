"""What a step may read and write of the workspace, from its request alone. Pure.

Its pod mounts just that of a claim; the sidecar of a bucket brings and takes just that.
"""

from __future__ import annotations

from collections.abc import Iterable

from flywheel.api.request import (
    CleanupParameters,
    JudgeParameters,
    PrepareParameters,
    ReportParameters,
    StepRequest,
    TrainParameters,
)
from flywheel.workspace.manifest import MANIFEST


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
        found += [
            source.path if source.repository else _parent(source.path)
            for source in parameters.sources
            if source.volume is None and source.s3 is None
        ]
    if isinstance(parameters, JudgeParameters) and parameters.anchors is not None:
        found.append(_parent(parameters.anchors))
    if isinstance(parameters, TrainParameters) and parameters.resume is not None:
        found.append(parameters.resume)
    if isinstance(parameters, ReportParameters):
        found.append(parameters.attempt_path)
    return found


def within_any(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of the folders or below one."""
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _parent(path: str) -> str:
    # The kubelet makes a missing subPath as a folder: mounting a missing file would put a folder in its place.
    return path.rsplit("/", 1)[0] if "/" in path else path
