"""Which adapter is tested, and which is promoted (SCIENCE 4). Selection never looks at the test pool."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import Arm, Candidate, FlywheelRunStatus, Gain, Iteration, TestReport
from flywheel.api.gate import Gate
from flywheel.statistics.measurement import INCUMBENT

# What could serve instead of an adapter: majority and bagOfWords are no language models, and only shown.
UNTRAINED_ARMS = ("base", "likelihood", "fewShot")


def best_untrained(arms: Sequence[Arm]) -> Arm | None:
    """The strongest way of answering without training that answered item by item."""
    answered = [arm for arm in arms if arm.name in UNTRAINED_ARMS]
    return max(answered, key=lambda arm: Decimal(arm.accuracy), default=None)


def proven_better(gains: Sequence[Gain], versus: str) -> bool:
    """Whether the lower bound of the paired difference is above zero."""
    return any(gain.versus == versus and Decimal(gain.low) > 0 for gain in gains)


def has_incumbent(gate: Gate, status: FlywheelRunStatus) -> bool:
    """Whether there is one to beat: the run's last candidate or, before it has one, what serves from another run."""
    return status.candidate is not None or (status.serving is not None and gate.serving == "Required")


def deserves_test(spec: FlywheelRunSpec, status: FlywheelRunStatus, iteration: Iteration) -> bool:
    """A new best on validation, proven better there than the best untrained arm and than the incumbent.

    Never that of a control: it is not there to be promoted, and an opening spent is spent.
    """
    if spec.control or status.best is None or status.best.iteration != iteration.number:
        return False
    untrained = best_untrained(status.baseline)
    if untrained is None or not proven_better(iteration.gains, untrained.name):
        return False
    return not has_incumbent(spec.gate, status) or proven_better(iteration.gains, INCUMBENT)


def passes(gate: Gate, status: FlywheelRunStatus, report: TestReport) -> bool:
    """The gate, on the test pool: better than the best untrained arm and than the incumbent, every floor held.

    Nor may it fall far below the first promoted adapter, so that losses that are each allowed do not add up.
    """
    untrained = best_untrained(report.arms)
    if untrained is None or not proven_better(report.gains, untrained.name):
        return False
    if has_incumbent(gate, status) and not proven_better(report.gains, INCUMBENT):
        return False
    if further_first(status) is not None and not _not_far_below(report.gains, "first", gate.first_margin):
        return False
    return all(floor.held for floor in report.floors)


def further_first(status: FlywheelRunStatus) -> Candidate | None:
    """The first promoted adapter, where it is not the one in service."""
    first, incumbent = status.first_candidate, status.candidate
    return first if first is not None and incumbent is not None and first.iteration != incumbent.iteration else None


def _not_far_below(gains: Sequence[Gain], versus: str, margin: Decimal) -> bool:
    return any(gain.versus == versus and Decimal(gain.low) > -margin for gain in gains)
