"""What the deployment serves from another run: pinned when a run starts, and what its first candidate must beat.

It may have been trained on groups that are held out today. Those items are left out, for it and for the candidate.
"""

from __future__ import annotations

from typing import Literal

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.flywheelrun_status import FlywheelRunStatus, LeftItems, ServingIncumbent
from flywheel.api.model import decimal_text
from flywheel.api.request import Input
from flywheel.api.result import ServingFigures
from flywheel.api.target import BASE
from flywheel.api.workspace import WorkspaceRef
from flywheel.loop.naming import adapter_folder

SERVING = "serving"  # the input
# What is read of a published adapter. The card says what it was trained on.
_PARTS = ("adapter_config.json", "adapter_model.safetensors", "contract.json", "card.json")


def serving_incumbent(deployment: AdapterDeployment | None, workspace: WorkspaceRef) -> ServingIncumbent | None:
    """What a deployment serves, for a run that starts on this workspace; None for the bare student, or nothing."""
    found = deployment.status.serving if deployment is not None else None
    if deployment is None or found is None or found.digest == BASE:
        return None
    here = found.workspace == workspace and found.staged is not None
    return ServingIncumbent(
        digest=found.digest,
        run=found.run,
        iteration=found.iteration,
        path=adapter_folder(deployment.metadata.namespace, found.digest),
        manifest=found.staged if here else None,
        obstacle=None if here else "NotInWorkspace",
    )


def serving_input(status: FlywheelRunStatus) -> list[Input]:
    """The published adapter, for a step that measures it: until the run has a candidate of its own."""
    serving = status.serving
    if serving is None or serving.obstacle is not None or serving.manifest is None or status.candidate is not None:
        return []
    return [Input(name=SERVING, path=serving.path, digest=serving.manifest, parts=list(_PARTS))]


def serving_measured(status: FlywheelRunStatus, pool: str, figures: ServingFigures | None) -> dict[str, object]:
    """What a measurement changes in the status: how many of the pool's items were left for what serves."""
    if figures is None or status.serving is None:
        return {}
    smallest = None if figures.smallest is None else decimal_text(figures.smallest)
    left = LeftItems(items=figures.items, left_out=figures.left_out, smallest_gain=smallest)
    return {"serving": status.serving.model_copy(update={pool: left, "obstacle": figures.obstacle})}


def answered_by_serving(status: FlywheelRunStatus, pool: Literal["validation", "test"]) -> bool:
    """Whether its answers to items of a pool are among those of the baseline, or of the newest test."""
    left: LeftItems | None = getattr(status.serving, pool, None)
    return left is not None and left.items > 0
