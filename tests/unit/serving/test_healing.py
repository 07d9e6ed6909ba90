"""The decision about models whose process has died: what serves, and what is on its way to service."""

from __future__ import annotations

from flywheel.api.conditions import READY
from flywheel.serving.calls import Endpoint, LoadModel

from .world import MODEL, World, digest, first, run_with


def test_a_dead_process_is_said_started_anew_and_not_shown_as_serving() -> None:
    world = World(runs=[run_with(1)])
    world.settle()
    told = len(world.events)
    world.pods["triton-1"].dead = {MODEL}
    plan = world.decide()
    assert plan.calls == (LoadModel(Endpoint("triton-1", "triton-1:8001"), MODEL, digest(1)),)
    assert world.condition(READY) == ("False", "ProcessDead")
    assert "triton-1" in world.deployment.status.conditions[0].message
    shown = {pod.name: (pod.revision, pod.verified) for pod in world.deployment.status.pods}
    assert shown == {"triton-0": (digest(1), True), "triton-1": ("", False)}
    world.settle()
    assert world.condition(READY) == ("True", "Serving")
    assert [event.reason for event in world.events[told:]] == ["ProcessDead"]


def test_in_a_rollout_what_serves_is_healed_first_until_the_disk_may_name_the_next() -> None:
    world = World(runs=[run_with(1)])
    world.settle()
    world.runs = [run_with(2, iteration=2)]
    first(world, verified=True)
    world.pods["triton-0"].dead = {MODEL}
    before = world.deployment.status
    plan = world.decide()
    assert [(call.model, call.revision) for call in plan.calls if isinstance(call, LoadModel)] == [(MODEL, digest(1))]
    assert (plan.status.rollout, plan.status.step, plan.status.attempt) == (before.rollout, before.step, before.attempt)

    assert [job.step for job in world.decide().create] == ["commit"]
    world.pods["triton-0"].dead = {MODEL}
    assert not world.decide().calls  # to start the old one anew would hide what the disk says now
    world.settle()
    assert {pod.stable for pod in world.pods.values()} == {digest(2)}


def test_a_candidate_whose_process_died_is_loaded_again_and_verified() -> None:
    world = World(runs=[run_with(1)])
    first(world, staged=digest(1))
    while "verify" not in {job.step for job in world.jobs.values()}:
        world.decide()
    for pod in world.pods.values():
        pod.dead = set(pod.candidates)
    world.end_jobs(75, "TargetUnavailable")
    world.settle()
    serving = world.deployment.status.serving
    assert serving is not None and serving.digest == digest(1)
