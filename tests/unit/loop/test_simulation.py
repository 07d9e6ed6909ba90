"""decide_run in a simulated cluster: whatever happens, the run ends for a stated reason and no rule is broken."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from resources import run_spec
from simulation import Script, World

from flywheel.loop.decide import ITERATION_STEPS, decide_run

chaos = settings(max_examples=40)


@chaos
@given(st.binary(max_size=250), st.integers(1, 3), st.booleans())
def test_every_run_ends_for_a_stated_reason(numbers: bytes, iterations: int, control: bool) -> None:
    spec = run_spec(maxIterations=iterations, plateau={"patience": 1, "minDelta": "0.01"})
    world = World(Script(numbers), spec | {"retention": {"iterations": 1}, "control": control})
    status = world.to_end()
    end = next(entry for entry in status.conditions if entry.type in ("Completed", "Failed"))
    assert end.reason and end.message.startswith("a control run") == control
    assert status.ended_at is not None and status.step is None
    told = [event for event in world.events if event.reason == end.reason and event.message == end.message]
    assert len(told) == 1


@chaos
@given(st.binary(max_size=250))
def test_without_bad_input_or_failures_nothing_makes_a_run_fail(numbers: bytes) -> None:
    """Evictions, lost pods, lost results, deleted Jobs, refused keys, edits: none of them uses an attempt."""
    harmless = ("success", "try later", "evicted", "never started", "no pod")
    world = World(Script(numbers), run_spec(maxIterations=2), outcomes=harmless)
    status = world.to_end()
    assert next(entry.status for entry in status.conditions if entry.type == "Ready") == "True"
    assert not world.failures or max(world.failures.values()) == 0


def test_a_quiet_run_makes_each_job_once_and_writes_seldom() -> None:
    world = World()
    status = world.to_end()
    made = [(job.request.iteration, job.step) for job in world.created]
    first = [(1, step) for step in (*ITERATION_STEPS, "test")]
    assert made == [(0, "validate"), (0, "preflight"), *first, *((2, step) for step in ITERATION_STEPS)]
    assert [entry.reason for entry in status.conditions if entry.type == "Completed"] == ["MaxIterations"]
    assert status.candidate is not None and status.candidate.iteration == 1
    assert world.writes <= 3 * len(made)
    assert max(Counter(event.message for event in world.events).values()) == 1


def test_a_control_trains_on_seed_items_says_so_and_opens_no_test_pool() -> None:
    world, run = World(spec=run_spec() | {"control": True}), World()
    status, _ = world.to_end(), run.to_end()
    asked = {job.step: job.request.parameters for job in world.created if job.request.iteration == 1}
    assert "test" not in asked and "test" in {job.step for job in run.created}
    others = {job.step: job.request.parameters for job in run.created if job.request.iteration == 1}
    differing = {step for step in asked if asked[step] != others[step]}
    assert differing == {"evaluate"}, "all else is the same, so that the difference is the teacher's"
    assert asked["evaluate"].to_json_object() == others["evaluate"].to_json_object() | {"control": True}
    assert status.best is not None and status.candidate is None
    told = [event.message for event in world.events]
    assert any("evaluate done" in words and "seed items" in words for words in told)
    assert {entry.message for entry in status.conditions if entry.type in ("Ready", "Completed")} == {told[-1]}
    assert "seed items instead of the teacher's examples" in told[-1] and "all 2 iterations are done" in told[-1]


def test_each_phase_of_a_pod_is_seen_and_costs_at_most_three_writes_a_step() -> None:
    world = World(spec=run_spec(maxIterations=1))
    writes: list[int] = []
    for _ in range(200):
        before = world.writes
        world.reconcile()
        for job in world.jobs.values():
            if job.view.state == "Pending" and job.view.pod is None:
                world._phase(job, "starting")
            elif job.view.state == "Pending":
                world._phase(job, "running")
            elif job.view.state == "Running":
                world.end(job, "success")
        writes.append(world.writes - before)
        if world.ended:
            break
    assert world.ended
    assert sum(writes) <= 3 * len(world.created) + 1


def test_history_keeps_the_newest_twenty() -> None:
    world = World(spec=run_spec(maxIterations=23, plateau={"patience": 10, "minDelta": "0.01"}))
    status = world.to_end()
    assert [entry.number for entry in status.history] == list(range(4, 24))
    tests = [job for job in world.created if job.request.step == "test"]
    assert len(tests) == status.test_openings == 1
    assert max(job.request.iteration for job in tests) == 1


def test_a_long_run_keeps_a_bounded_number_of_attempts_and_what_is_still_needed() -> None:
    """Chaos with a short retention is in the first test: no step ever lacks an input."""
    spec = run_spec(maxIterations=12, plateau={"patience": 2, "minDelta": "0.01"}) | {"retention": {"iterations": 2}}
    world = World(spec=spec)
    world.accuracies = [0.3, 0.5, 0.6, 0.7, *[0.4] * 9]
    status = world.to_end()
    cleanups = [job.request.iteration for job in world.created if job.request.step == "cleanup"]
    assert cleanups == list(range(3, 13))
    assert status.best is not None and status.best.iteration == 3
    old = {path.split("/")[3] for path in world.workspace} - {f"iter-{number}" for number in (0, 11, 12)}
    assert old == {"iter-1", "iter-3"}, "the first test, and the best, which is the candidate"
    kept = sorted(path.split("/", 3)[3] for path in world.workspace if "/iter-1/" in path or "/iter-3/" in path)
    assert kept == ["iter-1/test/a1", "iter-3/test/a1", "iter-3/train/a1", "iter-3/validate/a1"]


def test_a_spent_test_pool_is_said_and_stays_said() -> None:
    world = World(spec=run_spec(maxIterations=3) | {"gate": {"maxTestOpenings": 1}})
    world.accuracies = [0.3, 0.5, 0.6, 0.7]
    status = world.to_end()
    assert status.test_openings == 1
    assert [entry.number for entry in status.history if entry.tested] == [1]
    spent = next(entry for entry in status.conditions if entry.type == "HeldOutExhausted")
    assert spent.status == "True" and "iteration 3" in spent.message


def test_a_deleted_run_is_left_alone() -> None:
    world = World()
    world.reconcile()
    observed = world.observe()
    run = observed.run.model_copy(
        update={"metadata": observed.run.metadata.model_copy(update={"deletion_timestamp": world.now})}
    )
    plan = decide_run(type(observed)(run, observed.curriculum, observed.jobs), world.now)
    assert plan.status == run.status and not plan.create and not plan.delete
