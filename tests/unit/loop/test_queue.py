"""Jobs that a queue holds back, lets run, stops and lets run again: waiting costs nothing, and stopping no attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import NOW, flywheel_run, run_spec
from simulation import Script, World

from flywheel.api.curriculum import Attempt
from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration
from flywheel.api.jobs import QUEUE_LABEL, JobSettings
from flywheel.loop.attempts import MAX_DISRUPTIONS, GaveUp, Wait, advance
from flywheel.loop.observed import JobView, PodView
from flywheel.loop.pod_time import metered

SETTINGS = JobSettings(labels={QUEUE_LABEL: "gpus"})
WAITING = JobView(
    "job-1", "1", "train", 1, 1, NOW, queue="gpus", suspended_since=NOW + timedelta(seconds=1), settings=SETTINGS.digest
)
BEGUN = Attempt(ordinal=1, pod="pod-1")
OPERATOR_AWAY = "its pod is not known any more"


def running(number: int = 1, at: int = 0) -> JobView:
    pod = PodView(f"pod-{number}", f"pod-{number}", started=True, started_at=NOW + timedelta(seconds=at), gpus=2)
    return replace(WAITING, state="Running", suspended_since=None, resumed_at=NOW + timedelta(seconds=at), pod=pod)


def stopped(job: JobView, at: int) -> JobView:
    assert job.pod is not None
    end = NOW + timedelta(seconds=at)
    pod = replace(job.pod, ended_at=end + timedelta(seconds=2), disrupted=True)
    return replace(job, state="Pending", suspended_since=end, resumed_at=None, pod=pod)


def look(job: JobView, attempt: Attempt, wanted: JobSettings = SETTINGS, seconds: float = 0) -> Wait:
    outcome = advance([job], attempt, wanted, NOW + timedelta(seconds=seconds), "train")
    assert isinstance(outcome, Wait)
    return outcome


@pytest.mark.parametrize("job", [WAITING, stopped(running(), 9)], ids=["never admitted", "evicted"])
@pytest.mark.parametrize("seconds", [2, 61, 90 * 86400])
def test_waiting_is_work_however_long_it_takes(job: JobView, seconds: int) -> None:
    outcome = look(job, BEGUN, seconds=seconds)
    assert (outcome.state.kind, outcome.state.reason) == ("working", "Queued")
    since = job.suspended_since
    assert since is not None and f"queue gpus since {since.isoformat()}" in outcome.state.message
    assert outcome.requeue_after is None and not outcome.delete and outcome.attempt == look(job, BEGUN).attempt


def test_a_job_that_a_person_suspended_says_how_it_goes_on() -> None:
    state = look(replace(WAITING, queue=""), BEGUN).state
    assert state.reason == "Queued" and "names no queue" in state.message
    assert """kubectl patch job job-1 -p '{"spec":{"suspend":false}}'""" in state.message


def test_each_stop_counts_once_uses_no_attempt_and_ends_somewhere() -> None:
    attempt, now = Attempt(ordinal=1), NOW
    for number in range(1, MAX_DISRUPTIONS + 1):
        for job in (running(number), running(number), stopped(running(number), 5), WAITING):
            attempt = look(job, attempt).attempt
        assert (attempt.disruptions, attempt.failures, attempt.ordinal) == (number - 1, 0, 1)
    outcome = advance([running(MAX_DISRUPTIONS + 1)], attempt, SETTINGS, now, "train")
    assert isinstance(outcome, GaveUp) and outcome.state.reason == "Disrupted"
    assert outcome.attempt.failures == 0


def test_after_it_was_let_go_on_a_pod_is_waited_for_as_after_its_creation() -> None:
    admitted = replace(WAITING, suspended_since=None, resumed_at=NOW + timedelta(hours=9))
    again = replace(stopped(running(), 60), suspended_since=None, resumed_at=NOW + timedelta(hours=9))
    for job in (admitted, again):
        first = look(job, BEGUN, seconds=9 * 3600 + 1)
        assert first.state.reason == "WaitingForPod" and first.requeue_after == 59
        assert look(job, BEGUN, seconds=9 * 3600 + 61).state.reason == "PodRefused"


@pytest.mark.parametrize("job", [WAITING, stopped(running(), 9)], ids=["never admitted", "evicted"])
def test_what_waits_is_made_anew_when_its_settings_change_and_only_then(job: JobView) -> None:
    other = JobSettings(labels={QUEUE_LABEL: "more-gpus"})
    assert not look(replace(job, outdated=True), BEGUN).delete, "another part of spec keeps its place in the queue"
    outcome = look(job, BEGUN, other)
    assert outcome.delete == ("job-1",) and outcome.state.reason == "CleaningUp"
    assert (outcome.attempt.judged, outcome.attempt.failures, outcome.attempt.disruptions) == (1, 0, 0)
    assert not look(running(), BEGUN, other).delete, "what runs is left alone"


def test_a_job_that_was_done_while_it_was_stopped_is_accepted_and_removed() -> None:
    """SIGTERM came when the result was written: the Job would be admitted again, for nothing."""
    world = World(spec=run_spec(maxIterations=1) | {"queueName": "gpus"})
    world.reconcile()
    (job,) = world.jobs.values()
    world.end(job, "success")
    job.view = replace(job.view, suspended_since=world.now)
    plan = world.reconcile()
    assert plan.delete == (job.view.name,) and not plan.create
    assert world.to_end().baseline_step is not None


@pytest.mark.parametrize("seen", ["pod", OPERATOR_AWAY])
def test_budgets_stand_still_while_it_waits(seen: str) -> None:
    status = FlywheelRunStatus(current=Iteration(number=1))
    first, second = running(1, at=10), running(2, at=5000)
    waiting = stopped(first, 40) if seen == "pod" else replace(stopped(first, 40), pod=None)
    ended = replace(second, state="Failed", pod=replace(second.pod, ended_at=NOW + timedelta(seconds=5100)))  # type: ignore[type-var]
    for job, at in ((first, 20), (waiting, 4000), (waiting, 4500), (second, 5050), (ended, 6000)):
        status = metered(status, [job], NOW + timedelta(seconds=at))
        if job is waiting:
            counted = status.usage.pod_seconds
            assert counted == (32 if seen == "pod" else 30), "until its pod ended, or else until it was told to"
    assert status.usage.pod_seconds == counted + 100 and status.usage.gpu_seconds == 2 * status.usage.pod_seconds


@settings(max_examples=15)
@given(st.binary(max_size=250))
def test_a_run_in_a_queue_ends_as_any_other(numbers: bytes) -> None:
    """Every plan is checked: one accepted attempt a step, no failure that is not the step's, no idle write."""
    world = World(Script(numbers), run_spec(maxIterations=2) | {"queueName": "gpus"})
    assert world.to_end().ended_at is not None


def test_the_queue_of_a_step() -> None:
    steps = [{"name": "exam", "labels": {QUEUE_LABEL: ""}}, {"name": "train", "labels": {QUEUE_LABEL: "big"}}]
    spec = flywheel_run(run_spec() | {"queueName": "gpus", "jobs": {"steps": steps}}).spec
    asked = {step: (spec.job_settings(step).labels or {})[QUEUE_LABEL] for step in ("exam", "train", "validate")}
    assert asked == {"exam": "", "train": "big", "validate": "gpus"}
    assert spec.jobs.for_step("validate").labels is None
