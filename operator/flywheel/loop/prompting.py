"""PromptingSuffices: training gains over the bare student, but a way of answering without training does as well.

It speaks of the best adapter so far, on the pool that decided about it last. True: proven better than `base`, not
proven better than the best untrained arm, which is another. False: proven better than the best untrained arm, or not
even proven better than `base`, where training has shown nothing at all. Without an adapter there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Sequence

from flywheel.api.conditions import PROMPTING_SUFFICES, Condition, Reason
from flywheel.api.flywheelrun_status import Arm, FlywheelRunStatus, Gain, Iteration
from flywheel.loop.exits import known_reason
from flywheel.loop.finding import Finding
from flywheel.loop.gate import best_untrained, proven_better
from flywheel.loop.state import holds

BARE_ARM = "base"


def prompting_suffices(status: FlywheelRunStatus) -> Finding | None:
    """The finding on the best adapter so far; None without one."""
    if status.best is None:
        return None
    if status.candidate is not None:
        words = f"iteration {status.candidate.iteration} is proven better than the best untrained arm on the test pool"
        return Finding(False, Reason.ADAPTER_BETTER, words)
    test, number = status.test, status.best.iteration
    if test is not None and test.iteration == number:
        return _compared(f"iteration {number} on the test pool", test.accuracy, test.arms, test.gains)
    measured = _iteration(status, number)
    if measured is None:  # too old to be in history, where it stood when this was found
        return _as_before(status.conditions)
    words = f"iteration {number} on the validation pool"
    return _compared(words, status.best.accuracy, status.baseline, measured.gains)


def _iteration(status: FlywheelRunStatus, number: int) -> Iteration | None:
    known = (*status.history, *((status.current,) if status.current is not None else ()))
    return next((entry for entry in known if entry.number == number), None)


def _compared(where: str, accuracy: str, arms: Sequence[Arm], gains: Sequence[Gain]) -> Finding | None:
    untrained = best_untrained(arms)
    gain = next((entry for entry in gains if untrained is not None and entry.versus == untrained.name), None)
    if untrained is None or gain is None:
        return None
    figures = f"{accuracy} against {untrained.accuracy} of {untrained.name}, a gain of {gain.difference}"
    words = f"{where}: {figures} ({gain.low} to {gain.high})"
    if proven_better(gains, untrained.name):
        return Finding(False, Reason.ADAPTER_BETTER, f"{words}: proven better than without training")
    if untrained.name == BARE_ARM or not proven_better(gains, BARE_ARM):
        return Finding(False, Reason.NO_GAIN_PROVEN, f"{words}: not proven better than the bare student either")
    return Finding(
        True,
        Reason.PROMPTING_AS_GOOD,
        f"{words}: better than the bare student, not proven better than {untrained.name}, and not promoted; use"
        f" {untrained.name} without training, or give more held-out items or better training data",
    )


def _as_before(conditions: Sequence[Condition]) -> Finding | None:
    before = next((entry for entry in conditions if entry.type == PROMPTING_SUFFICES), None)
    if before is None:
        return None
    reason = known_reason(before.reason, Reason.NO_GAIN_PROVEN)
    return Finding(holds([before], PROMPTING_SUFFICES), reason, before.message)
