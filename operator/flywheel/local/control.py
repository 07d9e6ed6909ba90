"""A run and its control on one workspace of this computer: a state for each, one revision and one ledger for both."""

from __future__ import annotations

from typing import Any

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.workspace.store import Workspace

_STATE, _CONTROL_STATE = "local-state.json", "local-state-control.json"


def as_control(run: FlywheelRun) -> FlywheelRun:
    """The control of a run: the same, with a name of its own, trained on seed items, for no deployment."""
    metadata = run.metadata.model_copy(update={"name": f"{run.metadata.name}-control"})
    spec = run.spec.model_copy(update={"control": True, "deployment_ref": None})
    return run.model_copy(update={"metadata": metadata, "spec": spec})


def state_file(run: FlywheelRun) -> str:
    """Where a run's state is kept between two starts."""
    return _CONTROL_STATE if run.spec.control else _STATE


def local_runs(workspace: Workspace) -> list[tuple[Curriculum, FlywheelRun]]:
    """The run and its control, as far as they are there, with the Curriculum as each found it."""
    states: list[Any] = [workspace.read_json(name) for name in (_STATE, _CONTROL_STATE) if workspace.exists(name)]
    found = [state["resources"] for state in states if state.get("resources")]
    return [(Curriculum.model_validate(one), FlywheelRun.model_validate(other)) for one, other in found]
