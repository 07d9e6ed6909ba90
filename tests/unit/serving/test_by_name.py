"""Rollouts where every adapter has its own name: the alias never lies, and no server reads a folder that is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from restricted import check_job

from flywheel.api.adapterdeployment import AdapterDeployment, Rollout
from flywheel.api.conditions import READY, STALLED
from flywheel.api.request import VerifyParameters
from flywheel.serving.calls import LoadModel, UnloadModel
from flywheel.serving.names import is_adapter_name

from .by_name_world import BASE_MODEL, DRAIN, MODEL, Pod, World, deployment, name
from .world import digest, run_with

KINDS: list[Literal["vllm", "nim"]] = ["vllm", "nim"]


def serve_two(world: World) -> None:
    """The second adapter serves; the first still drains."""
    world.settle()
    world.runs = [run_with(2, iteration=2)]
    for _ in range(30):
        world.decide()
        world.end_jobs()
        if world.alias == name(2):
            return
    raise AssertionError("the second never serves")


def test_a_candidate_comes_into_service_step_by_step() -> None:
    world, seen = World(deployment("vllm")), list[str]()
    for _ in range(20):
        plan = world.decide()
        seen += [job.step for job in plan.create]
        seen += [f"{type(call).__name__} {call.model}" for call in plan.calls]
        for job in plan.create:
            check_job(job)
        world.end_jobs()
    assert seen == ["stage", *[f"LoadModel {name(1)}"] * 2, "verify"]
    status = world.deployment.status
    assert status.serving is not None
    assert (status.serving.digest, status.alias, status.stored) == (digest(1), name(1), [name(1)])
    assert all(pod.verified and pod.revision == digest(1) for pod in status.pods)
    assert world.condition(READY) == ("True", "Serving")


def test_nim_is_waited_for_and_not_called() -> None:
    world = World(deployment("nim", refresh="10s"), blind=True)
    for _ in range(4):
        world.decide()
        world.end_jobs()
    assert world.condition("Reconciling") == ("True", "Loading")
    world.blind = False
    world.settle()
    assert world.alias == name(1)


def test_a_nim_that_never_looks_is_said_and_a_newer_candidate_may_come() -> None:
    world = World(deployment("nim", refresh="10s"), blind=True)
    for _ in range(60):
        world.decide()
        world.end_jobs()
    assert world.condition(STALLED) == ("True", "TargetUnavailable")
    (message,) = {entry.message for entry in world.deployment.status.conditions if entry.type == STALLED}
    assert "NIM_PEFT_REFRESH_INTERVAL" in message and "NIM_PEFT_SOURCE" in message
    assert world.alias is None
    world.blind, world.runs = False, [run_with(2, iteration=2)]
    world.settle()
    assert (world.alias, world.store) == (name(2), {name(2)})


@pytest.mark.parametrize("kind", KINDS)
def test_the_one_before_drains_and_stays_while_it_is_kept(kind: Literal["vllm", "nim"]) -> None:
    world = World(deployment(kind, keep=0))
    serve_two(world)
    switched = world.now
    while world.now < switched + timedelta(seconds=DRAIN - 2):
        assert all({name(1), name(2)} <= pod.listed for pod in world.pods.values()), "clients may not have heard yet"
        world.decide()
        world.end_jobs()
    world.settle()
    world.observed()
    assert world.store == {name(2)} and all(pod.listed == {name(2)} for pod in world.pods.values())

    world = World(deployment(kind, keep=1))
    serve_two(world)
    world.settle()
    assert world.store == {name(1), name(2)}
    world.runs = [run_with(3, iteration=3)]
    world.settle()
    assert world.store == {name(2), name(3)} == set(world.deployment.status.stored)


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidate_that_fails_verification_is_gone_at_once_and_never_the_alias(kind: Literal["vllm", "nim"]) -> None:
    world = World(deployment(kind), bad={digest(2)})
    while world.alias is None:
        world.decide()
        world.end_jobs()
    world.runs, switched = [run_with(2, iteration=2)], world.now
    while not world.deployment.status.rejected or name(2) in world.store:
        world.decide()
        world.end_jobs()
        if world.deployment.status.rejected:
            assert world.condition(READY) == ("True", "Serving"), "tidying up is no reason to be unready"
    assert world.now < switched + timedelta(seconds=DRAIN), "nobody was told to ask it: it need not drain"
    assert [entry.digest for entry in world.deployment.status.rejected] == [digest(2)]
    assert (world.alias, world.store) == (name(1), {name(1)})
    assert world.condition(READY) == ("True", "Serving")


def test_a_candidate_that_cannot_be_loaded_is_rejected_with_the_reason() -> None:
    world = World(deployment("vllm"), pods={"llm-0": Pod()})
    world.settle()
    world.runs, world.broken_loads = [run_with(2, iteration=2)], 3
    world.settle()
    assert [entry.digest for entry in world.deployment.status.rejected] == [digest(2)]
    assert any("rank is above" in event.message for event in world.events)
    assert (world.alias, world.store) == (name(1), {name(1)})


def test_a_pod_that_forgot_gets_what_serves_and_what_is_kept() -> None:
    world = World(deployment("vllm"))
    serve_two(world)
    world.settle()
    world.pods["llm-1"] = Pod()
    plan = world.decide()
    assert [(call.endpoint.pod, call.model) for call in plan.calls] == [("llm-1", name(2))], "what serves comes first"
    world.settle()
    assert world.pods["llm-1"].listed == {name(1), name(2)}
    assert [pod.verified for pod in world.deployment.status.pods] == [True, True]
    asked = [world.requests[job] for job, view in world.jobs.items() if view.step == "recheck"]
    assert [(one.model, one.addresses) for one in asked if isinstance(one, VerifyParameters)] == [
        (name(2), ["llm-1:8000"])
    ]
    assert world.alias == name(2)


def test_no_folder_goes_while_a_pod_may_still_read_it() -> None:
    """Also one that is not ready, and one that does not say."""
    world = World(deployment("vllm", keep=0))
    serve_two(world)
    world.pods["llm-1"].unready = world.pods["llm-1"].away = True
    for _ in range(20):
        world.decide()
        world.end_jobs()
    assert world.store == {name(1), name(2)}
    world.pods["llm-1"].away = False
    world.settle()
    assert name(1) not in world.pods["llm-1"].listed and world.store == {name(2)}


def test_leftovers_of_a_lost_status_go_and_those_of_others_stay() -> None:
    world = World(deployment("vllm"))
    world.settle()
    other = "severity-b-" + "0" * 12
    assert not is_adapter_name(MODEL, other) and not is_adapter_name(MODEL, BASE_MODEL)
    world.store |= {name(9), other}
    for pod in world.pods.values():
        pod.listed |= {name(9), other}
    world.settle()
    assert world.store == {name(1), other}
    assert all(pod.listed == {name(1), other} for pod in world.pods.values())


def test_rest_costs_no_writes() -> None:
    world = World(deployment("vllm"))
    serve_two(world)
    world.settle()
    before = world.writes
    for _ in range(5):
        assert not world.decide().calls
    assert world.writes == before


def test_unloads_that_fail_are_no_hot_loop_and_nothing_is_removed() -> None:
    world = World(deployment("vllm", keep=0))
    serve_two(world)
    world.now += timedelta(seconds=DRAIN)
    call = next(iter(world.decide().calls))
    assert isinstance(call, UnloadModel)
    for pod in world.pods.values():
        pod.listed.add(name(1))
    world.failures = tuple(
        type(world)._call(world, call) or _failed(call) for call in (UnloadModel(call.endpoint, name(1)),)
    )
    for pod in world.pods.values():
        pod.listed.add(name(1))
    plan = world.decide()
    assert call not in plan.calls and name(1) in world.store


def _failed(call: Any) -> Any:
    from flywheel.serving.calls import CallFailure

    return CallFailure(call, "the pod did not answer")


@pytest.mark.parametrize("kind", KINDS)
def test_the_bare_student_is_an_alias_and_needs_no_adapter(kind: Literal["vllm", "nim"]) -> None:
    world = World(deployment(kind))
    world.settle()
    status = world.deployment.status
    assert status.serving is not None
    taken = status.serving.model_dump(exclude={"since"}) | {"digest": "Base", "contract": digest(1)}
    world.runs = []
    base = status.model_copy(update={"rollout": Rollout.model_validate(taken), "rollouts": status.rollouts + 1})
    world.deployment = world.deployment.model_copy(update={"status": base})
    world.settle()
    assert world.alias == BASE_MODEL
    assert name(1) in world.store, "it is kept, to go back to"


def test_a_foreign_config_map_keeps_the_alias_where_it_is() -> None:
    world = World(deployment("vllm"), alias_taken=True)
    for _ in range(20):
        world.decide()
        world.end_jobs()
    assert world.alias is None
    assert world.condition(STALLED) == ("True", "AliasTaken")
    world.alias_taken = False
    world.settle()
    assert world.alias == name(1)
    world.alias_taken = True
    world.decide()
    assert world.condition(STALLED) == ("True", "AliasTaken")


FAULTS = [
    "end",
    "end",
    "end",
    "crash",
    "busy",
    "evict",
    "lost",
    "newer",
    "restart",
    "loads",
    "unready",
    "ready",
    "time",
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2), st.lists(st.sampled_from(FAULTS), max_size=60))
def test_whatever_happens_the_newest_good_candidate_ends_up_behind_the_alias(
    kind: Literal["vllm", "nim"], keep: int, faults: list[str]
) -> None:
    """The world itself refuses a switch to what was not verified or is not everywhere, and a folder that is read."""
    world, newest = World(deployment(kind, keep=keep), bad={digest(2), digest(4)}), 1
    for fault in faults:
        if fault == "newer" and newest < 5:
            newest += 1
            world.runs = [run_with(newest, iteration=newest)]
        if fault == "restart":
            world.pods["llm-1"] = Pod()
        if fault == "loads":
            world.broken_loads += 1
        if fault in ("unready", "ready"):
            world.pods["llm-1"].unready = fault == "unready"
        if fault == "time":
            world.now += timedelta(seconds=DRAIN)
        if fault in ("crash", "busy", "evict"):
            world.end_jobs({"crash": 1, "busy": 75, "evict": 137}[fault])
        if fault == "end":
            world.end_jobs()
        plan = world.decide(lost=fault == "lost")
        assert len(plan.create) <= 1
        assert world.alias not in {name(2), name(4)}
    world.broken_loads, world.pods["llm-1"].unready = 0, False
    world.settle()
    status: Any = world.deployment.status
    rejected = {entry.digest for entry in status.rejected}
    if newest in (1, 3, 5) and digest(newest) not in rejected:
        assert world.alias == name(newest)
        assert world.condition(READY) == ("True", "Serving")
    if status.serving is not None:
        wanted = {name_of(world.deployment, entry.digest) for entry in (status.serving, *status.previous[:keep])}
        assert world.store == wanted == set(status.stored), "what is kept, and nothing else"
        assert all(pod.listed == wanted for pod in world.pods.values())


def name_of(_deployment: AdapterDeployment, adapter: str) -> str:
    return f"{MODEL}-{adapter.removeprefix('sha256:')[:12]}"


def test_a_load_of_a_rollback_is_the_same_call() -> None:
    """A revision from status.previous is staged again, for its folder may be gone, and then verified."""
    world = World(deployment("vllm"))
    serve_two(world)
    status = world.deployment.status
    back = Rollout.model_validate(status.previous[0].model_dump(exclude={"since"}))
    again = status.model_copy(update={"rollout": back, "rollouts": status.rollouts + 1})
    world.deployment, world.runs = world.deployment.model_copy(update={"status": again}), []
    steps: list[str] = []
    for _ in range(20):
        plan = world.decide()
        steps += [job.step for job in plan.create]
        assert not [call for call in plan.calls if isinstance(call, LoadModel)], "it is still loaded everywhere"
        world.end_jobs()
    assert steps == ["stage", "verify"]
    assert world.alias == name(1)
