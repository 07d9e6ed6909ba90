"""Workspaces as pods have them: all on one volume, or each an empty folder before one bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from s3_server import ACCESS, Server

from flywheel.api.request import CleanupParameters, ReportParameters, StepRequest, TrainParameters
from flywheel.workspace.bucket import Bucket
from flywheel.workspace.remote import RemoteWorkspace
from flywheel.workspace.staging import Staging
from flywheel.workspace.store import Workspace

HOME = "runs/review/x-1"
_REPORT = ReportParameters(attempt_path=f"{HOME}/iter-1/train/a1")
_TRAIN = {"model_path": "/m", "batch_size": 1, "learning_rate": "1e-4", "lora": {}}
Pod = Callable[..., Workspace]


def asked(output: str = f"{HOME}/iter-1/train/a1", resume: str | None = None, **more: Any) -> StepRequest:
    """A train's request, for what a step may reach is in each alike."""
    parameters = TrainParameters.model_validate({**_TRAIN, "resume": resume})
    fields = {"namespace": "review", "owner": "x", "attempt": 1, "parameters": parameters} | more
    return StepRequest(output=output, **fields)


def cleaning() -> StepRequest:
    return asked(f"{HOME}/iter-3/cleanup/a1", parameters=CleanupParameters(home=HOME, through=1, keep=[]))


def on_volume(folder: Path) -> Pod:
    return lambda request: Workspace(folder / "volume")


def on_bucket(folder: Path, server: Server, named: str | None = None, kind: type[Bucket] = Bucket) -> Pod:
    """Pods before a new bucket, or the one of that name."""
    place = server.place() if named is None else server.place().model_copy(update={"bucket": named})
    bucket = kind(place, ACCESS)

    def pod(request: StepRequest) -> Workspace:
        root = Path(mkdtemp(dir=folder))
        return RemoteWorkspace(root, request, Staging(request, Workspace(root), bucket).do)

    return pod
