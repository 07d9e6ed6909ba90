"""Attempts of one step: what each end of a Job costs, against a count made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import NOW, digest

from flywheel.api.curriculum import Attempt
from flywheel.api.jobs import JobSettings
from flywheel.api.result import AbsentFigures, AnswerFigures, StepError, StepResult
from flywheel.loop.attempts import (
    BACKOFF_MOST,
    MAX_DISRUPTIONS,
    Accepted,
    GaveUp,
    Outcome,
    Start,
    Wait,
    advance,
    halt,
    seconds_until,
)
from flywheel.loop.observed import JobView, PodView

LATER = StepResult(error=StepError(reason="TeacherKeyRefused", message="the teacher refused the key")).to_message()
DONE = StepResult(
    manifest=digest("answer"),
    figures=AnswerFigures.model_validate({"items": 4, "score": {"accuracy": 0.5, "low": 0.4, "high": 0.6}}),
)
ABSENT = StepResult(figures=AbsentFigures())
FAILS = PodView(name="pod", uid="1", started=True, exit_code=1)
ENDS: dict[str, PodView | None] = {
    "fails": FAILS,
    "oom": PodView(name="pod", uid="1", started=True, exit_code=137, terminated_reason="OOMKilled"),
    "deadline": PodView(name="pod", uid="1", started=True, exit_code=143, deadline_exceeded=True),
    "later": PodView(name="pod", uid="1", started=True, exit_code=75, message=LATER),
    "evicted": PodView(name="pod", uid="1", started=True, exit_code=137, disrupted=True),
    "never started": PodView(name="pod", uid="1"),
    "no pod": None,
}
COUNTED = {"fails", "oom", "deadline"}


def view(number: int, state: str = "Failed", pod: PodView | None = FAILS, rereads: int | None = None) -> JobView:
    return JobView(f"job-{number}", str(number), "answer", 1, number, NOW, state, rereads=rereads, pod=pod)  # type: ignore[arg-type]


def done(number: int, result: StepResult | None = DONE, rereads: int | None = None) -> JobView:
    message = result.to_message() if result is not None else '{"v":1,"manif'
    return view(number, "Succeeded", PodView("pod", "1", started=True, exit_code=0, message=message), rereads)


class Driver:
    """One step whose Jobs stay where they are; time goes to each retry."""

    def __init__(self, attempts: int | None = None) -> None:
        self.settings, self.attempt, self.now = JobSettings(attempts=attempts), Attempt(), NOW
        self.jobs: list[JobView] = []

    def look(self) -> Outcome:
        outcome = advance(self.jobs, self.attempt, self.settings, self.now, "answer")
        if not isinstance(outcome, Accepted):
            self.attempt = outcome.attempt
        return outcome

    def next_start(self) -> Start | GaveUp:
        for _ in range(2):
            outcome = self.look()
            if isinstance(outcome, Start | GaveUp):
                return outcome
            assert isinstance(outcome, Wait) and outcome.requeue_after is not None
            assert 0 < outcome.requeue_after <= 300
            self.now += timedelta(seconds=outcome.requeue_after)
        raise AssertionError("it is not started when its time has come")


@given(st.lists(st.sampled_from(sorted(ENDS)), max_size=12), st.none() | st.integers(1, 5))
def test_only_failures_of_the_step_use_attempts(ends: list[str], most: int | None) -> None:
    driver, failures = Driver(most), 0
    started = driver.look()
    for number, end in enumerate(ends, 1):
        assert isinstance(started, Start) and started.rereads is None
        assert started.attempt.ordinal == number
        driver.jobs.append(view(number, pod=ENDS[end]))
        failures += end in COUNTED
        started = driver.next_start()
        assert driver.attempt.failures == failures
        if failures == (most or 3):
            assert isinstance(started, GaveUp) and started.state.kind == "failed"
            return
    driver.jobs.append(done(len(ends) + 1))
    outcome = driver.look()
    assert outcome == Accepted(DONE, len(ends) + 1)


@pytest.mark.parametrize(("end", "kind"), [("later", "blocked"), ("fails", "working"), ("no pod", "blocked")])
def test_waiting_for_a_retry_is_said_and_grows_to_five_minutes(end: str, kind: str) -> None:
    driver = Driver(20)
    waits: list[float] = []
    driver.look()
    for number in range(1, 10):
        driver.jobs = [view(number, pod=ENDS[end])]
        outcome = driver.look()
        assert isinstance(outcome, Wait) and outcome.requeue_after is not None
        assert outcome.state.kind == kind
        assert driver.look() == outcome, "looking again changes nothing"
        waits.append(outcome.requeue_after)
        driver.now += timedelta(seconds=outcome.requeue_after)
        assert isinstance(driver.look(), Start)
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300, 300]


def test_a_key_that_is_refused_for_weeks_is_tried_every_five_minutes() -> None:
    attempt = Attempt(ordinal=9000, judged=8999, waits=8999)
    outcome = advance([view(9000, pod=ENDS["later"])], attempt, JobSettings(), NOW, "answer")
    assert isinstance(outcome, Wait) and outcome.requeue_after == 300
    assert outcome.state.reason == "TeacherKeyRefused"


def test_a_failure_ends_a_row_of_waits() -> None:
    attempt = Attempt(ordinal=7, judged=6, waits=6)
    outcome = advance([view(7)], attempt, JobSettings(), NOW, "answer")
    assert isinstance(outcome, Wait) and outcome.requeue_after == 10 and outcome.attempt.waits == 0


def test_bad_input_is_never_retried() -> None:
    said = StepResult(error=StepError(reason="EmptyTrainingSet", message="the training set has no examples"))
    pod = PodView("pod", "1", started=True, exit_code=64, message=said.to_message())
    outcome = advance([view(1, pod=pod)], Attempt(ordinal=1), JobSettings(attempts=9), NOW, "answer")
    assert isinstance(outcome, GaveUp)
    assert (outcome.state.kind, outcome.state.reason) == ("failed", "BadInput")
    assert outcome.state.message == "the training set has no examples"


def test_evictions_are_counted_apart_and_end_somewhere() -> None:
    driver = Driver()
    started = driver.look()
    for number in range(1, MAX_DISRUPTIONS):
        driver.jobs = [view(number, pod=ENDS["evicted"])]
        started = driver.look()
        assert isinstance(started, Start), "the next attempt starts at once"
    driver.jobs = [view(MAX_DISRUPTIONS, pod=ENDS["evicted"])]
    outcome = driver.look()
    assert isinstance(outcome, GaveUp) and outcome.state.reason == "Disrupted" and driver.attempt.failures == 0


@pytest.mark.parametrize("first", ["gone", "unreadable", "pod gone"])
@pytest.mark.parametrize("second", ["found", "absent", "gone", "evicted", "never started", "fails", "unreadable"])
def test_a_lost_result_is_read_again_before_the_step_is_repeated(first: str, second: str) -> None:
    driver = Driver()
    driver.attempt = Attempt(ordinal=1)
    lost = {"gone": [], "unreadable": [done(1, None)], "pod gone": [view(1, "Succeeded", None)]}
    driver.jobs = lost[first]
    outcome = driver.look()
    assert isinstance(outcome, Start) and (outcome.attempt.ordinal, outcome.rereads) == (2, 1)
    seconds = {
        "found": [done(2, DONE, rereads=1)],
        "absent": [done(2, ABSENT, rereads=1)],
        "gone": [],
        "evicted": [view(2, pod=ENDS["evicted"], rereads=1)],
        "never started": [view(2, pod=ENDS["never started"], rereads=1)],
        "fails": [view(2, rereads=1)],
        "unreadable": [done(2, None, rereads=1)],
    }
    driver.jobs = seconds[second]
    if second == "found":
        assert driver.look() == Accepted(DONE, 1)
        return
    outcome = driver.next_start()
    assert isinstance(outcome, Start) and outcome.attempt.ordinal == 3
    again = second in ("gone", "evicted", "never started")
    assert outcome.rereads == (1 if again else None)
    assert driver.attempt.failures == (second in ("fails", "unreadable"))


def test_a_program_that_ends_well_and_leaves_nothing_uses_the_attempts() -> None:
    driver = Driver(2)
    driver.look()
    for number in (1, 3):
        driver.jobs.append(done(number, None))
        started = driver.next_start()
        assert isinstance(started, Start) and started.rereads == number
        driver.jobs.append(done(number + 1, ABSENT, rereads=number))
        started = driver.next_start()
    assert isinstance(started, GaveUp) and started.state.reason == "AttemptsExhausted"
    assert "left no result" in started.state.message


def test_nothing_is_started_while_a_job_is_being_deleted() -> None:
    old = JobView("job-1", "1", "answer", 1, 1, NOW, "Failed", deleting=True, pod=FAILS)
    outcome = advance([old], Attempt(ordinal=1, judged=1), JobSettings(), NOW, "answer")
    assert isinstance(outcome, Wait) and outcome.state.reason == "CleaningUp"


def test_a_job_without_a_pod_is_looked_at_again() -> None:
    jobs = [view(1, "Pending", None)]
    first = advance(jobs, Attempt(ordinal=1), JobSettings(), NOW + timedelta(seconds=20), "answer")
    assert isinstance(first, Wait) and first.requeue_after == 40 and first.state.kind == "working"
    later = advance(jobs, Attempt(ordinal=1), JobSettings(), NOW + timedelta(seconds=60), "answer")
    assert isinstance(later, Wait) and later.requeue_after is None and later.state.kind == "blocked"


@pytest.mark.parametrize("running", [False, True])
def test_a_blocked_job_of_an_older_spec_is_made_anew_and_costs_nothing(running: bool) -> None:
    pod = PodView("pod", "1", started=running, waiting_reason="" if running else "ImagePullBackOff")
    job = replace(view(4, "Running" if running else "Pending", pod, rereads=None), outdated=True)
    before = Attempt(ordinal=4, judged=3, failures=1, waits=2)
    outcome = advance([job], before, JobSettings(attempts=2), NOW, "answer")
    assert isinstance(outcome, Wait)
    assert outcome.delete == (() if running else ("job-4",))
    if not running:
        following = advance([], outcome.attempt, JobSettings(attempts=2), NOW, "answer")
        assert isinstance(following, Start) and (following.attempt.ordinal, following.rereads) == (5, None)
        assert following.attempt.failures == 1


def test_a_blocked_job_of_this_spec_is_waited_for() -> None:
    outcome = advance(
        [view(1, "Pending", PodView("pod", "1", unschedulable="0/1"))], Attempt(), JobSettings(), NOW, "answer"
    )
    assert isinstance(outcome, Wait) and outcome.state.kind == "blocked" and not outcome.delete


def test_a_job_at_work_is_followed_whatever_status_says() -> None:
    outcome = advance([view(1, "Running")], Attempt(ordinal=5000, judged=70), JobSettings(), NOW, "answer")
    assert isinstance(outcome, Wait) and outcome.attempt.ordinal == 1


@given(st.integers(-(10**9), 10**9))
def test_a_wait_is_never_longer_than_any_that_is_made(seconds: int) -> None:
    """The clock has gone back since it was written."""
    wait = seconds_until(NOW + timedelta(seconds=seconds), NOW)
    assert wait == (seconds if 0 < seconds <= 2 * BACKOFF_MOST else 0)


def test_halting_counts_nothing_and_forgets_nothing() -> None:
    running = view(3, "Running")
    before = Attempt(ordinal=2, judged=2, failures=1, disruptions=4)
    halted = halt([running], before)
    assert (halted.ordinal, halted.judged, halted.failures, halted.disruptions) == (3, 3, 1, 4)
    assert halted.begun == 3
    resumed = advance([], halted, JobSettings(), NOW, "answer")
    assert isinstance(resumed, Start) and (resumed.attempt.ordinal, resumed.rereads) == (4, None)


def test_halting_keeps_an_end_that_was_not_yet_judged() -> None:
    failed = view(1)
    assert halt([failed], Attempt(ordinal=1)).judged == 0
    outcome = advance([failed], halt([failed], Attempt(ordinal=1)), JobSettings(attempts=1), NOW, "answer")
    assert isinstance(outcome, GaveUp)
    assert halt([], Attempt(ordinal=1)) == Attempt(ordinal=1)


def test_halting_a_report_reads_again_on_resuming() -> None:
    report = view(2, "Running", rereads=1)
    resumed = advance([], halt([report], Attempt(ordinal=2, rereading=1)), JobSettings(), NOW, "answer")
    assert isinstance(resumed, Start) and resumed.rereads == 1


@pytest.mark.parametrize("second", ["never started", "no pod"])
def test_training_goes_on_from_the_newest_attempt_that_began(second: str) -> None:
    driver = Driver()
    driver.jobs = [view(1, pod=ENDS["evicted"])]
    driver.look()
    driver.jobs.append(view(2, pod=ENDS[second]))
    driver.next_start()
    assert driver.attempt.begun == 1
    driver.jobs.append(view(3, "Running", rereads=1))
    driver.look()
    assert driver.attempt.begun == 1, "a report is no attempt to go on from"


@given(st.integers(0, 999999))
def test_the_time_of_a_retry_fits_its_field(micros: int) -> None:
    at = NOW.replace(microsecond=micros)
    outcome = advance([view(1)], Attempt(ordinal=1), JobSettings(), at, "answer")
    assert isinstance(outcome, Wait)
    assert Attempt.model_validate(outcome.attempt.to_json_object()) == outcome.attempt
