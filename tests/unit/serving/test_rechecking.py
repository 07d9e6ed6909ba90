"""Pods that joined, or came back, are asked the probes of what serves; nobody else is, and nothing loops."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.conditions import READY, STALLED
from flywheel.api.request import VerifyParameters

from .world import MODEL, Pod, World, digest, run_with


def serving() -> World:
    world = World(runs=[run_with(1)])
    world.settle()
    return world


def rechecks(world: World) -> list[VerifyParameters]:
    """What the Jobs were asked that no rollout needed."""
    found = [world.requests[name] for name, job in world.jobs.items() if job.step == "recheck"]
    return [asked for asked in found if isinstance(asked, VerifyParameters)]


def shown(world: World) -> dict[str, bool]:
    return {pod.name: pod.verified for pod in world.deployment.status.pods}


def test_a_pod_that_joined_is_asked_alone_under_the_stable_name_and_nobody_is_unready_meanwhile() -> None:
    world = serving()
    assert not rechecks(world), "the rollout asked them"
    world.pods["triton-2"] = Pod(stable=digest(1))
    while not rechecks(world):
        world.decide()
        assert world.condition(READY) == ("True", "Serving")
    assert shown(world) == {"triton-0": True, "triton-1": True, "triton-2": False}
    (asked,) = rechecks(world)
    assert (asked.model, asked.addresses, asked.adapter_digest) == (MODEL, ["triton-2:8001"], digest(1))
    world.settle()
    assert all(shown(world).values()) and len(rechecks(world)) == 1
    assert world.condition(READY) == ("True", "Serving")


def test_a_pod_that_answers_otherwise_is_said_and_asked_again_until_it_does_or_goes() -> None:
    world = serving()
    world.pods["triton-2"] = Pod(stable=digest(1))
    world.odd = {"triton-2"}
    told, end = len(world.events), world.now + timedelta(hours=1)
    while world.now < end:
        world.decide()
        world.end_jobs()
    assert world.condition(READY) == ("False", "VerificationFailed")
    assert world.condition(STALLED) == ("True", "VerificationFailed")
    assert "triton-2 says that it serves this and answered 0 of 20" in world.deployment.status.conditions[0].message
    assert [event.reason for event in world.events[told:]] == ["VerificationFailed"]
    assert 6 <= len(rechecks(world)) <= 12, "asked again every five minutes"
    world.odd = set()
    world.settle()
    assert world.condition(READY) == ("True", "Serving") and all(shown(world).values())


def test_a_pod_that_answered_otherwise_is_forgotten_when_it_is_gone() -> None:
    world = serving()
    world.pods["triton-2"], world.odd = Pod(stable=digest(1)), {"triton-2"}
    while world.condition(READY) != ("False", "VerificationFailed"):
        world.decide()
        world.end_jobs()
    del world.pods["triton-2"]
    world.settle()
    assert world.condition(READY) == ("True", "Serving")


def test_a_new_candidate_does_not_wait_for_a_pod_that_answers_otherwise() -> None:
    world = serving()
    world.pods["triton-2"], world.odd = Pod(stable=digest(1)), {"triton-2"}
    while world.condition(READY) != ("False", "VerificationFailed"):
        world.decide()
        world.end_jobs()
    world.runs, world.odd = [run_with(2, iteration=2)], set()
    world.settle()
    assert {pod.stable for pod in world.pods.values()} == {digest(2)} and all(shown(world).values())


def test_a_process_that_dies_whenever_it_is_asked_is_started_less_and_less_often() -> None:
    world = serving()
    world.pods["triton-0"].dead = {MODEL}
    loads, end = 0, world.now + timedelta(hours=1)
    while world.now < end:
        loads += len(world.decide().calls)
        if any(job.active and job.step == "recheck" for job in world.jobs.values()):
            world.pods["triton-0"].dead = {MODEL}
            world.end_jobs(75, "TargetUnavailable")
    assert 5 < loads < 20 and 5 < len(rechecks(world)) < 40
    assert world.condition(READY)[0] == "False"
    world.settle()
    assert world.condition(READY) == ("True", "Serving") and all(shown(world).values())


Happening = st.sampled_from(["joins", "restarts", "goes", "candidate", "lost", "decide", "decide", "end", "break"])


@given(st.lists(Happening, max_size=25))
def test_whatever_comes_and_goes_every_pod_is_asked_in_the_end(happenings: list[str]) -> None:
    world, newest = serving(), 1
    for number, happening in enumerate(happenings):
        match happening:
            case "joins":
                world.pods[f"joined-{number}"] = Pod()
            case "restarts":
                world.restart(min(world.pods))
            case "goes" if len(world.pods) > 1:
                del world.pods[max(world.pods)]
            case "candidate":
                newest += 1
                world.runs = [run_with(newest, iteration=newest)]
            case "lost":
                world.decide(lost=True)
            case "break":
                world.end_jobs(1)
            case "end":
                world.end_jobs()
            case _:
                world.decide()
    world.settle()
    assert {pod.stable for pod in world.pods.values()} == {digest(newest)}
    assert shown(world) == dict.fromkeys(world.pods, True)
