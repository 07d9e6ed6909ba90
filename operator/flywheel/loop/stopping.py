"""When a run ends after an iteration: target, plateau, budget, number of iterations. The first that holds wins."""

from __future__ import annotations

from decimal import Decimal

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun import FlywheelRunSpec, Plateau
from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration, RunUsage
from flywheel.loop.budget import exhausted
from flywheel.loop.gate import proven_better
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


def patience(spec: FlywheelRunSpec) -> int:
    """Iterations without a proven gain after which a run is said to be stalled, whether or not it may stop for it."""
    return (spec.stop.plateau or Plateau()).patience


def iterations_without_gain(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> int:
    """Over how many iterations up to the newest measured one no gain is proven; 0 where its own gain is.

    Weaker than a plateau, which needs proof that there is none: here the run may go on, and somebody should look.
    """
    known = [*status.history, *([status.current] if status.current is not None else [])]
    measured = [entry for entry in known if entry.number and entry.validation is not None]
    unproven = 0
    for entry in reversed(measured):
        if _gained(entry):
            break
        unproven += 1
    # An unproven iteration is no better than the one `patience` before it, or than the untrained student.
    return min(measured[-1].number, patience(spec) - 1 + unproven) if unproven else 0


def _gained(iteration: Iteration) -> bool:
    """Over the adapter `patience` iterations ago or, where none is that old, over the untrained student."""
    old = any(gain.versus == "patience" for gain in iteration.gains)
    return proven_better(iteration.gains, "patience" if old else "base")


def _ended(reason: Reason, message: str) -> State:
    return State("completed", reason, message)
