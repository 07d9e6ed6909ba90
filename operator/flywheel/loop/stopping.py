"""When a run ends after an iteration: target, plateau, budget, number of iterations. The first that holds wins."""

from __future__ import annotations

from decimal import Decimal

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import Iteration, RunUsage
from flywheel.loop.budget import exhausted
from flywheel.loop.state import State


def stop_after(spec: FlywheelRunSpec, iteration: Iteration, usage: RunUsage) -> State | None:
    """The end that this finished iteration brings, or None when the run goes on."""
    target, measured = spec.stop.accuracy, iteration.validation
    if target is not None and measured is not None and Decimal(measured.low) >= target:
        return _ended(
            Reason.TARGET_REACHED,
            f"validation accuracy is at least {measured.low} (lower bound), the target was {target}",
        )
    if (flat := plateau(spec, iteration)) is not None:
        return flat
    if (spent := exhausted(spec, usage)) is not None:
        return spent
    if iteration.number >= spec.stop.max_iterations:
        return _ended(Reason.MAX_ITERATIONS, f"all {spec.stop.max_iterations} iterations are done")
    return None


def plateau(spec: FlywheelRunSpec, iteration: Iteration) -> State | None:
    """Flat is when the *upper* bound of the gain over `patience` iterations is below minDelta.

    An interval that covers both 0 and minDelta proves nothing, and the run goes on (SCIENCE 4).
    """
    if spec.stop.plateau is None:
        return None
    gain = next((entry for entry in iteration.gains if entry.versus == "patience"), None)
    if gain is None or Decimal(gain.high) >= spec.stop.plateau.min_delta:
        return None
    return _ended(
        Reason.PLATEAU,
        f"the gain over {spec.stop.plateau.patience} iterations is at most {gain.high},"
        f" less than minDelta {spec.stop.plateau.min_delta}",
    )


def _ended(reason: Reason, message: str) -> State:
    return State("completed", reason, message)
