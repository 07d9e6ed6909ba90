"""Time and GPUs: every pod counts once, for as long as it ran; a spent budget ends the run with its best adapter."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import NOW, flywheel_run, run_spec
from simulation import GPUS, Script, World

from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration, RunUsage
from flywheel.loop.budget import exhausted, seconds_left
from flywheel.loop.decide import decide_run
from flywheel.loop.observed import JobView, PodView
from flywheel.loop.pod_time import metered
from flywheel.loop.state import holds

SEEN = ["nothing"] * 6 + ["suspend", "attempts", "openings", "curriculum"]  # after which each pod's end is seen


@settings(max_examples=60)
@given(st.binary(max_size=250), st.sampled_from([{}, {"queueName": "gpus"}]))
def test_each_pod_is_counted_once_whatever_happens_to_it(numbers: bytes, queue: dict[str, str]) -> None:
    """Failures, evictions, suspensions, queues, and an operator that dies before it has written what it saw."""
    world = World(Script(numbers), run_spec(maxIterations=2) | queue, mishaps=SEEN)
    usage = world.to_end().usage
    pods = sum(seconds for seconds, _ in world.ran.values())
    cards = sum(seconds * gpus for seconds, gpus in world.ran.values())
    if world.vanished:  # they count until they were missed
        assert usage.pod_seconds >= pods and usage.gpu_seconds >= cards
    else:
        assert (usage.pod_seconds, usage.gpu_seconds) == (pods, cards)
    assert len(world.ran) <= world.uids


@settings(max_examples=40)
@given(st.binary(max_size=250))
def test_a_pod_whose_end_nobody_saw_counts_until_it_was_missed(numbers: bytes) -> None:
    world = World(Script(numbers), run_spec(maxIterations=2), mishaps=[*SEEN, "delete a job", "expire"])
    status = world.to_end()
    assert status.pod is None or status.pod.counted
    assert 0 <= status.usage.pod_seconds <= (world.now - NOW).total_seconds() + world.uids


def budgeted(**budget: Any) -> World:
    return World(spec=run_spec(maxIterations=9, plateau={"patience": 9, "minDelta": "0.01"}, budget=budget))


def until_running(world: World, step: str) -> None:
    while not any(job.view.step == step and job.view.state == "Running" for job in world.jobs.values()):
        world.reconcile()
        for job in world.jobs.values():
            if job.view.state == "Pending":
                world._phase(job, "running")
            elif job.view.step != step:
                world.end(job, "success")


def test_a_pod_is_stopped_when_its_time_is_over_and_the_best_adapter_stays() -> None:
    world = budgeted(wallTime="10m")
    while world.read_status().best is None:
        world.turn()
    until_running(world, "train")
    best = world.read_status().best
    plan = world.reconcile()
    assert plan.requeue_after is not None and 0 < plan.requeue_after <= 600
    writes = world.writes
    world.now += timedelta(seconds=plan.requeue_after - 1)
    world.reconcile()
    assert world.writes == writes, "time that passes writes nothing"
    world.now += timedelta(seconds=1.001)
    status = world.to_end()
    assert holds(status.conditions, "Completed") and status.conditions[0].reason == "BudgetExhausted"
    assert status.best == best and best is not None
    assert 600 <= status.usage.pod_seconds <= 602
    assert "pods ran 60" in status.conditions[0].message


def test_gpu_hours_end_a_run_between_steps_and_what_was_made_is_accepted_first() -> None:
    world = budgeted(gpuHours="0.1")
    until_running(world, "validate")
    world.now += timedelta(seconds=3600)
    (job,) = [job for job in world.jobs.values() if job.view.active]
    world.end(job, "success")
    status = world.to_end()
    assert status.conditions[0].reason == "BudgetExhausted"
    assert status.baseline and status.usage.gpu_seconds >= 3600


def test_a_result_that_nobody_could_read_is_still_read_when_the_time_is_over() -> None:
    world = budgeted(wallTime="1m")
    until_running(world, "validate")
    world.now += timedelta(seconds=59)
    (job,) = [job for job in world.jobs.values() if job.view.active]
    job.view = type(job.view)(**{**vars(job.view), "state": "Running"})
    world.now += timedelta(seconds=0.5)
    world.end(job, "unreadable")
    assert [entry.rereads for entry in world.reconcile().create] == [1]
    assert world.to_end().conditions[0].reason == "BudgetExhausted"


def test_what_exams_may_not_touch_is_kept_for_the_finish() -> None:
    spec = flywheel_run(run_spec(budget={"wallTime": "1h", "gpuHours": "8", "reserveForFinish": "0.25"})).spec
    usage = RunUsage(pod_seconds=2600, gpu_seconds=8 * 2600)
    assert seconds_left(spec, usage, "exam", gpus=0) == 100
    assert seconds_left(spec, usage, "train", gpus=8) == 1000
    assert exhausted(spec, usage) is None
    assert exhausted(spec, RunUsage(pod_seconds=2700)) is not None
    assert exhausted(spec, RunUsage(gpu_seconds=int(Decimal("8") * 2700))) is not None


def test_without_limits_on_time_it_is_only_counted() -> None:
    spec = flywheel_run(run_spec(budget={"teacherTokens": 5})).spec
    assert seconds_left(spec, RunUsage(pod_seconds=10**9), "train", gpus=8) is None
    world = World()
    until_running(world, "train")
    world.now += timedelta(seconds=100)
    (job,) = [job for job in world.jobs.values() if job.view.active]
    world.end(job, "fails")
    usage = world.to_end().usage
    assert (usage.pod_seconds, usage.gpu_seconds) == (100, 100 * GPUS["train"]), "a failed attempt counts"


@pytest.mark.parametrize("seen", ["together", "apart"])
def test_a_pod_is_counted_once_though_the_write_of_its_end_was_lost(seen: str) -> None:
    def job(step: str, begun: int, ended: int | None, state: Any) -> JobView:
        end = None if ended is None else NOW + timedelta(seconds=ended)
        pod = PodView(step, step, True, NOW + timedelta(seconds=begun), end, 2)
        return JobView(step, step, step, 1, 1, NOW, state, pod=pod)

    late = NOW + timedelta(seconds=500)
    exam, answer = job("exam", 0, 30, "Succeeded"), job("answer", 40, 100, "Failed")
    begun = FlywheelRunStatus(current=Iteration(number=1))
    status = metered(begun, [job("exam", 0, None, "Running")], NOW)
    for jobs in [[answer, exam]] if seen == "together" else [[exam], [exam, answer], [answer]]:
        status = metered(status, jobs, late)
    assert metered(status, [], late) == status
    assert (status.usage.pod_seconds, status.usage.gpu_seconds) == (90, 180)


def test_a_pod_of_an_iteration_that_the_status_does_not_know_yet_waits_for_it() -> None:
    """Made by an operator that died before it wrote so: its pod is no sign that somebody changed the status."""
    pod = PodView("exam", "exam", True, NOW, None, 0)
    exam = JobView("exam", "exam", "exam", 1, 1, NOW, "Running", pod=pod)
    before = FlywheelRunStatus(current=Iteration(number=0))
    assert metered(before, [exam], NOW) == before
    after = metered(FlywheelRunStatus(current=Iteration(number=1)), [exam], NOW)
    assert after.pod is not None and after.pod.step == "exam"


def test_looking_again_while_a_pod_runs_plans_no_write() -> None:
    world = budgeted(wallTime="10h")
    until_running(world, "exam")
    world.reconcile()
    later = decide_run(world.observe(), world.now + timedelta(hours=1))
    assert later.status.to_json_object() == world.status and not later.events
