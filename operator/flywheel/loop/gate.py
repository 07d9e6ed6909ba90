"""Which adapter is tested, and which is promoted (SCIENCE 4). Selection never looks at the test pool."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from flywheel.api.flywheelrun import Arm, FlywheelRunStatus, Gain, Iteration
from flywheel.loop.inputs import UNTRAINED_ARMS


def best_untrained(arms: Sequence[Arm]) -> Arm | None:
    """The strongest way of answering without training that answered item by item."""
    answered = [arm for arm in arms if arm.name in UNTRAINED_ARMS]
    return max(answered, key=lambda arm: Decimal(arm.accuracy), default=None)


def proven_better(gains: Sequence[Gain], versus: str) -> bool:
    """Whether the lower bound of the paired difference is above zero."""
    return any(gain.versus == versus and Decimal(gain.low) > 0 for gain in gains)


def deserves_test(status: FlywheelRunStatus, iteration: Iteration) -> bool:
    """A new best on validation, proven better there than the best untrained arm and than the last candidate."""
    if status.best is None or status.best.iteration != iteration.number:
        return False
    untrained = best_untrained(status.baseline)
    if untrained is None or not proven_better(iteration.gains, untrained.name):
        return False
    return status.candidate is None or proven_better(iteration.gains, "incumbent")


def passes(arms: Sequence[Arm], gains: Sequence[Gain], has_incumbent: bool) -> bool:
    """The gate: on the test pool, better than the best untrained arm and than the incumbent."""
    untrained = best_untrained(arms)
    if untrained is None or not proven_better(gains, untrained.name):
        return False
    return not has_incumbent or proven_better(gains, "incumbent")
