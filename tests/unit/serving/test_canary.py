"""Some pods first: the others follow after the pause, or the first ones go back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.adapterdeployment import CanaryRecord, PodCount
from flywheel.api.conditions import READY, RECONCILING
from flywheel.serving.calls import Endpoint, ServingPodView
from flywheel.serving.canary import worse

from .world import START, Pod, World, digest, run_with


def committed() -> World:
    """A rollout of 2 over 1 whose stable model no pod has loaded."""
    world = World(runs=[run_with(1)], pods={f"triton-{number}": Pod() for number in range(3)})
    world.edit(rollout={"canary": {"pods": 1, "pause": "10m"}})
    world.settle()
    world.runs = [run_with(2, iteration=2)]
    for _ in range(60):
        world.decide()
        world.end_jobs()
        rollout = world.deployment.status.rollout
        if rollout is not None and rollout.committed:
            return world
    raise AssertionError("nothing is committed")


def canarying() -> World:
    """In its pause: one pod has moved."""
    world = committed()
    while world.deployment.status.rollout is None or world.deployment.status.rollout.canary is None:
        world.decide()
    return world


def stables(world: World) -> list[str | None]:
    return [pod.stable for pod in world.pods.values()]


def test_one_pod_moves_and_the_others_follow_after_the_pause() -> None:
    world = canarying()
    assert stables(world) == [digest(2), digest(1), digest(1)]
    assert world.condition(RECONCILING) == ("True", "Canary")
    status = world.deployment.status
    assert status.serving is not None and status.serving.digest == digest(1)
    assert status.rollout is not None and status.rollout.canary is not None
    began = status.rollout.canary.since
    while stables(world)[1] == digest(1):
        world.decide()
    assert (world.now - began).total_seconds() >= 600
    world.settle()
    assert set(stables(world)) == {digest(2)}
    assert world.condition(READY) == ("True", "Serving")


def test_the_first_adapter_of_all_has_nothing_to_be_compared_with() -> None:
    world = World(runs=[run_with(1)])
    world.edit(rollout={"canary": {"pods": 1, "pause": "10m"}})
    world.settle()
    assert (world.now - START).total_seconds() < 300
    assert set(stables(world)) == {digest(1)}


@pytest.mark.parametrize("how", ["failures", "slow"])
def test_a_canary_that_does_worse_goes_back_by_itself(how: str) -> None:
    world = canarying()
    for name, pod in world.pods.items():
        ill = name == "triton-0"
        pod.answered, pod.failed = 100, 20 if ill and how == "failures" else 0
        pod.microseconds = 100 * (50_000 if ill and how == "slow" else 10_000)
    world.settle()
    assert set(stables(world)) == {digest(1)} == {world.disk}
    assert [entry.digest for entry in world.deployment.status.rejected] == [digest(2)]
    last = world.deployment.status.rollouts
    steps = [[job.step for job in world.jobs.values() if job.iteration == number] for number in (last - 1, last)]
    assert steps == [["commit"], ["recheck"]], "the way back is short; the canary's pod is asked once it is back"
    assert any("as a canary it" in event.message for event in world.events)
    assert world.condition(READY) == ("True", "Serving")


def test_a_canary_that_cannot_be_loaded_goes_back() -> None:
    world = committed()
    world.broken_loads = 3
    world.settle()
    assert set(stables(world)) == {digest(1)} == {world.disk}
    assert [entry.digest for entry in world.deployment.status.rejected] == [digest(2)]


def test_a_pin_ends_the_pause() -> None:
    world = canarying()
    world.edit(rollout={"canary": {"pods": 1, "pause": "10m"}}, pin=digest(1))
    began = world.now
    world.settle()
    assert set(stables(world)) == {digest(1)} == {world.disk}
    assert (world.now - began).total_seconds() < 300
    assert world.deployment.status.rejected == []


def test_approval_that_is_taken_back_ends_the_pause() -> None:
    world = canarying()
    world.edit(approval="Manual", approvedDigest=digest(1))
    world.settle()
    assert set(stables(world)) == {digest(1)} == {world.disk}
    waiting = world.deployment.status.waiting
    assert waiting is not None and waiting.digest == digest(2)


def test_a_pod_that_restarts_in_the_pause_is_a_canary_too() -> None:
    """The disk names the candidate, which was verified."""
    world = canarying()
    world.restart("triton-1")
    world.decide()
    assert stables(world) == [digest(2), digest(2), digest(1)]
    world.settle()
    assert set(stables(world)) == {digest(2)}


COUNTS = st.builds(
    PodCount,
    name=st.sampled_from(["a", "b"]),
    answered=st.integers(0, 500),
    failed=st.integers(0, 50),
    microseconds=st.integers(0, 10**7),
)


def view(count: PodCount) -> ServingPodView:
    return ServingPodView(Endpoint(count.name, "x"), count=count)


@given(COUNTS, st.lists(COUNTS, max_size=2))
def test_alike_is_never_worse(count: PodCount, before: list[PodCount]) -> None:
    record = CanaryRecord(since=START, pods=[entry.model_copy(update={"name": "c"}) for entry in before])
    other = count.model_copy(update={"name": "other"})
    assert worse(record, [view(count)], [view(other)]) is None


@given(COUNTS, st.integers(5, 100))
def test_only_what_was_counted_since_counts(count: PodCount, failed: int) -> None:
    before = CanaryRecord(since=START, pods=[count])
    other = view(PodCount(name="other", answered=0, failed=0, microseconds=0))
    assert worse(before, [view(count)], [other]) is None
    more = count.model_copy(update={"failed": count.failed + failed})
    assert worse(before, [view(more)], [other]) is not None
    again = PodCount(name=count.name, answered=0, failed=failed, microseconds=0)  # a server that began again
    assert count.answered == 0 or worse(before, [view(again)], [other]) is not None
