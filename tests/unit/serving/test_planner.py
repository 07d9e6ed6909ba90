"""The decision about an AdapterDeployment: the way to service, and every way it can go wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from restricted import check_job

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import READY, RECONCILING, STALLED
from flywheel.api.result import AbsentFigures, ExamFigures, PublishFigures, StepResult, VerifyFigures
from flywheel.loop.accept import UnexpectedResultError
from flywheel.loop.observed import PodView
from flywheel.serving.calls import CallFailure, LoadModel, UnloadModel
from flywheel.serving.names import candidate_name
from flywheel.serving.rollout import TRY_AGAIN_SECONDS

from .world import MODEL, START, Pod, World, digest, first, run_with


def test_a_candidate_comes_into_service_step_by_step() -> None:
    world = World(runs=[run_with(1)])
    seen: list[str] = []
    for _ in range(30):
        plan = world.decide()
        seen += [job.step for job in plan.create]
        seen += [f"{'load' if isinstance(call, LoadModel) else 'unload'} {call.model}" for call in plan.calls]
        world.end_jobs()
    candidate = candidate_name(MODEL, digest(1))
    each = len(world.pods)
    assert seen == [
        "stage",
        *[f"load {candidate}"] * each,
        "verify",
        "commit",
        *[f"load {MODEL}"] * each,
        *[f"unload {candidate}"] * each,
    ]
    status = world.deployment.status
    assert status.serving is not None
    assert status.serving.digest == digest(1)
    assert all(pod.verified and pod.revision == digest(1) for pod in status.pods)
    assert world.condition(READY) == ("True", "Serving")
    assert world.condition(RECONCILING) is None


def test_rest_costs_no_writes() -> None:
    world = World(runs=[run_with(1)])
    world.settle()
    before = world.writes
    for _ in range(5):
        assert not world.decide().calls
    assert world.writes == before


def test_a_candidate_that_fails_verification_never_serves() -> None:
    world = World(runs=[run_with(1)])
    world.settle()
    world.bad = {digest(2)}
    world.runs = [run_with(2, iteration=2)]
    world.settle()
    status = world.deployment.status
    assert status.serving is not None
    assert status.serving.digest == digest(1) == world.disk
    assert [entry.digest for entry in status.rejected] == [digest(2)]
    assert world.condition(READY) == ("True", "Serving")
    assert any(event.reason == "CandidateRejected" for event in world.events)
    assert not any(pod.candidates for pod in world.pods.values())
    jobs = len(world.jobs)
    world.settle()
    assert len(world.jobs) == jobs  # it is not tried again


def test_rejected_before_anything_served_is_said() -> None:
    world = World(runs=[run_with(1)], bad={digest(1)})
    world.settle()
    assert world.condition(STALLED) == ("True", "VerificationFailed")


def test_a_candidate_that_cannot_be_loaded_is_rejected() -> None:
    world = World(runs=[run_with(1)], pods={"triton-0": Pod()})
    first(world, staged=digest(1))
    world.broken_loads = 3
    world.settle()
    assert [entry.digest for entry in world.deployment.status.rejected] == [digest(1)]


def test_a_stable_model_that_cannot_be_loaded_is_tried_until_it_can() -> None:
    world = World(runs=[run_with(1)], pods={"triton-0": Pod()})
    first(world, committed=True)
    world.broken_loads = 6
    plan = world.decide()
    assert plan.calls
    plan = world.decide()
    assert not plan.calls  # no hot loop
    assert plan.requeue_after is not None
    assert plan.requeue_after >= 9
    assert world.condition(STALLED) == ("True", "TargetUnavailable")
    world.settle()
    assert world.pods["triton-0"].stable == digest(1)


@pytest.mark.parametrize("kind", ["no service", "no pods"])
def test_a_missing_target_blocks_and_is_mended(kind: str) -> None:
    world = World(runs=[run_with(1)])
    pods = world.pods
    if kind == "no service":
        world.service_found = False
    else:
        world.pods = {}
    plan = world.decide()
    assert world.condition(STALLED) == ("True", "TargetNotFound" if kind == "no service" else "TargetUnavailable")
    assert not plan.create
    assert plan.requeue_after is not None
    world.service_found, world.pods = True, pods
    world.settle()
    assert world.condition(READY) == ("True", "Serving")


def test_a_restarted_or_added_pod_is_brought_back() -> None:
    world = World(runs=[run_with(1)])
    world.settle()
    world.pods["triton-0"] = Pod()
    world.pods["triton-2"] = Pod(candidates={candidate_name(MODEL, digest(7)): digest(7)})
    world.settle()
    assert {pod.stable for pod in world.pods.values()} == {digest(1)}
    assert not any(pod.candidates for pod in world.pods.values())
    verified = {pod.name: pod.verified for pod in world.deployment.status.pods}
    assert verified == {"triton-0": True, "triton-1": True, "triton-2": True}


def test_the_newest_run_wins_and_deleting_it_changes_nothing() -> None:
    old, new = run_with(1, name="old", iteration=9), run_with(2, name="new", iteration=1, hours=5)
    world = World(runs=[new, old])
    world.settle()
    assert world.disk == digest(2)
    world.runs = [old]
    world.settle()
    world.runs = []
    world.settle()
    assert world.disk == digest(2)
    assert len([job for job in world.jobs.values() if job.step == "stage"]) == 1


def test_runs_of_the_same_second_come_one_after_the_other() -> None:
    """Kubernetes counts seconds: their names decide, and the later one is not taken for the one that serves."""
    world = World(runs=[run_with(1, name="a")])
    world.settle()
    world.runs = [run_with(1, name="a"), run_with(2, name="b")]
    world.settle()
    assert world.disk == digest(2)
    world.runs = [run_with(1, name="a")]
    world.settle()
    assert world.disk == digest(2)


def test_too_few_probes_block_until_the_spec_is_changed() -> None:
    world = World(runs=[run_with(1)], pods={"triton-0": Pod()})
    first(world, staged=digest(1))
    while not any(job.step == "verify" for job in world.jobs.values()):
        world.decide()
    world.end_jobs(64, "TooFewProbes")
    plan = world.decide()
    assert world.condition(STALLED) == ("True", "TooFewProbes")
    assert not plan.create
    moment = world.now - timedelta(seconds=200)
    world.now = moment
    assert not world.decide().create
    world.now = moment
    metadata = world.deployment.metadata.model_copy(update={"generation": 2})
    world.deployment = world.deployment.model_copy(update={"metadata": metadata})
    assert [job.step for job in world.decide().create] == ["verify"]
    world.settle()
    assert world.disk == digest(1)


def test_the_next_candidate_goes_the_same_way() -> None:
    world = World(runs=[run_with(1)])
    world.settle()
    world.runs = [run_with(2, iteration=2)]
    world.settle()
    assert world.disk == digest(2)
    assert sorted(job.step for job in world.jobs.values()) == sorted(["stage", "verify", "commit"] * 2)
    assert world.deployment.status.rejected == []


def test_a_rollout_under_way_is_finished_before_the_next() -> None:
    world = World(runs=[run_with(1)])
    first(world, staged=digest(1))
    world.runs = [run_with(2, iteration=2)]
    while world.deployment.status.serving is None:
        world.decide()
        world.end_jobs()
    assert world.deployment.status.serving.digest == digest(1)


def test_an_earlier_iteration_of_the_same_run_is_no_candidate() -> None:
    world = World(runs=[run_with(2, iteration=2)])
    world.settle()
    world.runs = [run_with(1, iteration=1)]
    world.settle()
    assert world.disk == digest(2)


def test_a_stuck_candidate_makes_way_for_a_newer_one() -> None:
    world = World(runs=[run_with(1)])
    world.decide()
    name = world.decide().create[0].name
    unpullable = PodView("p", "p", waiting_reason="ImagePullBackOff")
    world.jobs[name] = replace(world.jobs[name], pod=unpullable)
    world.decide()
    assert world.condition(STALLED) == ("True", "ImageUnavailable")

    world.runs = [run_with(2, iteration=2)]
    going = replace(world.jobs[name], deleting=True)
    assert world.decide().delete == (name,)
    world.jobs[name] = going
    assert not world.decide().create  # two publish Jobs at once could undo each other's work
    del world.jobs[name]
    assert [job.request.iteration for job in world.decide().create] == [2]
    world.settle()
    assert world.disk == digest(2)
    assert world.deployment.status.rejected == []


def test_a_damaged_adapter_is_rejected() -> None:
    world = World(runs=[run_with(1)])
    world.decide()
    world.decide()
    world.end_jobs(64, "AdapterDamaged")
    world.settle()
    assert [entry.digest for entry in world.deployment.status.rejected] == [digest(1)]


def test_requests_name_exactly_what_is_read() -> None:
    world = World(runs=[run_with(1, iteration=3)])
    jobs = {}
    for _ in range(20):
        jobs |= {job.step: job for job in world.decide().create}
        world.end_jobs()
    stage, verify, commit = (jobs[step] for step in ("stage", "verify", "commit"))
    assert [(entry.name, entry.path, entry.parts) for entry in stage.request.inputs] == [
        ("adapter", "runs/review/run-uid-run/iter-3/train/a1", ["adapter"]),
        ("measured", "runs/review/run-uid-run/iter-3/test/a1", ["probes.jsonl"]),
        ("curriculum", "curricula/review/c-1/r1", ["pools/curriculum"]),
    ]
    assert stage.request.output == "adapters/review"
    assert stage.claims.repository == world.deployment.spec.target.repository
    assert verify.claims.repository is None
    assert verify.request.inputs[0].path == f"adapters/review/{digest(1).replace(':', '-')}"
    assert verify.request.output == "deployments/review/severity-01234567/iter-1/verify/a1"
    assert commit.request.inputs == []


FAULTS = st.sampled_from(
    ["none", "end", "end", "end", "crash", "busy", "evict", "lost", "restart", "loads", "newer", "kill"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FAULTS, max_size=60))
def test_whatever_happens_the_newest_good_candidate_ends_up_serving(faults: list[str]) -> None:
    world = World(runs=[run_with(1)], bad={digest(2), digest(4)})
    newest = 1
    for fault in faults:
        if fault == "newer" and newest < 5:
            newest += 1
            world.runs = [run_with(newest, iteration=newest)]
        if fault == "restart":
            world.restart("triton-1")
        if fault == "kill":
            pod = world.pods["triton-0"]
            pod.dead = {*pod.candidates, *([MODEL] if pod.stable else [])}
        if fault == "loads":
            world.broken_loads += 1
        if fault in ("crash", "busy", "evict"):
            world.end_jobs({"crash": 1, "busy": 75, "evict": 137}[fault])
        if fault == "end":
            world.end_jobs()
        plan = world.decide(lost=fault == "lost")
        served = {pod.stable for pod in world.pods.values()}
        assert not served & world.bad
        assert len(plan.create) <= 1
    world.broken_loads = 0
    world.settle()
    status = world.deployment.status
    rejected = {entry.digest for entry in status.rejected}
    if newest in (1, 3, 5) and digest(newest) not in rejected:
        assert {pod.stable for pod in world.pods.values()} == {digest(newest)} == {world.disk}
        assert world.condition(READY) == ("True", "Serving")
    if status.serving is not None:
        assert {pod.stable for pod in world.pods.values()} == {status.serving.digest}
    assert not any(pod.candidates or pod.dead for pod in world.pods.values())


def test_strays_are_unloaded_once_and_not_in_a_hot_loop() -> None:
    world = World(runs=[run_with(1)])
    world.settle()
    world.pods["triton-0"].candidates["severity-cand-00000009"] = digest(9)
    plan = world.decide()
    assert [type(call) for call in plan.calls] == [UnloadModel]
    assert not world.decide().calls

    world.pods["triton-0"].candidates["severity-cand-00000009"] = digest(9)
    call = world.decide().calls[0]
    world.pods["triton-0"].candidates["severity-cand-00000009"] = digest(9)
    world.failures = (CallFailure(call, "the pod did not answer"),)
    plan = world.decide()
    assert not plan.calls
    assert plan.requeue_after is not None
    assert plan.requeue_after >= 10


@pytest.mark.parametrize(
    "said", ["", "{", VerifyFigures(probes=0, agreed={}, passed=True), ExamFigures(questions=1), AbsentFigures()]
)
def test_a_result_that_is_none_is_said_and_does_not_go_round_for_ever(said: Any) -> None:
    world = World(runs=[run_with(1)])
    message = said if isinstance(said, str) else StepResult(manifest=digest(1), figures=said).to_message()
    states: set[Any] = set()
    for _ in range(100):
        world.decide()
        states.add(world.condition(STALLED))
        for name, job in world.jobs.items():
            if job.active:
                pod = PodView(name, name, started=True, exit_code=0, message=message)
                world.jobs[name] = replace(job, state="Succeeded", pod=pod)
    assert ("True", "AttemptsExhausted") in states
    assert world.deployment.status.rollout is not None and world.deployment.status.rollout.staged is None
    spent = (world.now - START).total_seconds()
    assert len(world.jobs) / 6 < 1 + spent / TRY_AGAIN_SECONDS, "three attempts, each read again, and then a wait"


def test_a_publish_of_another_adapter_is_refused() -> None:
    world = World(runs=[run_with(1)])
    world.decide()
    world.decide()
    ((name, job),) = world.jobs.items()
    other = StepResult(manifest=digest(1), figures=PublishFigures(phase="stage", adapter=digest(2)))
    pod = PodView(name, name, started=True, exit_code=0, message=other.to_message())
    world.jobs[name] = replace(job, state="Succeeded", pod=pod)
    with pytest.raises(UnexpectedResultError):
        world.decide()


@pytest.mark.parametrize("guarded", [False, True])
def test_every_job_is_restricted(guarded: bool) -> None:
    world, made = World(runs=[run_with(1)]), set[str]()
    if guarded:
        value = world.deployment.to_json_object()
        value["spec"]["target"]["triton"] |= {
            "tls": {"serverName": "triton.review.svc", "caBundleRef": {"name": "corp-ca"}},
            "credentialsRef": {"name": "triton-admin"},
        }
        world.deployment = AdapterDeployment.model_validate(value)
    for _ in range(30):
        for job in world.decide().create:
            check_job(job)
            assert (job.serving_secret == "triton-admin") == (guarded and job.step == "verify")
            made.add(job.step)
        world.end_jobs()
    assert made == {"stage", "verify", "commit"}
