"""Over how many iterations no gain is proven: what FlywheelProficiencyStalled is about."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from resources import flywheel_run, run_spec

from flywheel.api.flywheelrun_status import FlywheelRunStatus, Gain, Iteration, Measured
from flywheel.loop.stopping import iterations_without_gain, patience, stop_after

MEASURED = Measured(accuracy="0.7", low="0.6", high="0.8")
PROVEN, UNPROVEN = "0.0100", "-0.0200"


def iteration(number: int, most: int, proven: bool) -> Iteration:
    """As validate leaves it: compared with the untrained student, and with an adapter where one is old enough."""
    low = PROVEN if proven else UNPROVEN
    names = ["base", "patience"] if number > most else ["base"]
    lows = {"base": PROVEN, "patience": low} if number > most else {"base": low}
    gains = [Gain(versus=name, difference="0.03", low=lows[name], high="0.0500") for name in names]
    return Iteration(number=number, validation=MEASURED, gains=gains)


def without_gain(proven: list[bool], most: int, **spec: Any) -> int:
    status = FlywheelRunStatus(history=[iteration(place + 1, most, gained) for place, gained in enumerate(proven)])
    return iterations_without_gain(flywheel_run(run_spec(plateau={"patience": most}, **spec)).spec, status)


@given(st.lists(st.booleans(), min_size=1, max_size=19), st.integers(1, 9))
def test_it_reaches_the_patience_exactly_where_the_newest_has_no_proven_gain_over_it(
    proven: list[bool], most: int
) -> None:
    found = without_gain(proven, most)
    assert (found == 0) == proven[-1]
    assert (found >= most) == (not proven[-1] and len(proven) >= most)
    assert found <= len(proven)


@given(st.lists(st.booleans(), min_size=1, max_size=18), st.integers(1, 9))
def test_one_more_iteration_without_gain_never_makes_it_less(proven: list[bool], most: int) -> None:
    assert without_gain([*proven, False], most) >= without_gain(proven, most)


def test_nothing_is_said_before_an_adapter_is_measured() -> None:
    spec = flywheel_run(run_spec()).spec
    assert iterations_without_gain(spec, FlywheelRunStatus()) == 0
    assert iterations_without_gain(spec, FlywheelRunStatus(current=Iteration(number=1))) == 0


def test_without_a_plateau_the_untrained_student_is_what_it_must_beat() -> None:
    spec = flywheel_run(run_spec()).spec
    flat = FlywheelRunStatus(history=[iteration(number, 9, False) for number in (1, 2, 3)])
    better = FlywheelRunStatus(history=[iteration(number, 9, True) for number in (1, 2, 3)])
    assert patience(spec) == 3
    assert (iterations_without_gain(spec, flat), iterations_without_gain(spec, better)) == (3, 0)


def test_the_iteration_at_work_counts_once_it_is_measured_and_in_history_only_once() -> None:
    spec = flywheel_run(run_spec(plateau={"patience": 2})).spec
    first, second = iteration(1, 2, False), iteration(2, 2, False)
    at_work = FlywheelRunStatus(history=[first], current=second)
    done = FlywheelRunStatus(history=[first, second], current=second)
    assert iterations_without_gain(spec, at_work) == iterations_without_gain(spec, done) == 2


def test_a_run_that_goes_on_though_no_gain_is_proven_is_what_the_alert_is_for() -> None:
    spec = flywheel_run(run_spec(maxIterations=9, plateau={"patience": 1, "minDelta": "0.02"})).spec
    newest = iteration(2, 1, False)
    status = FlywheelRunStatus(history=[iteration(1, 1, True), newest])
    assert stop_after(spec, newest, status.usage) is None
    assert iterations_without_gain(spec, status) >= patience(spec)
