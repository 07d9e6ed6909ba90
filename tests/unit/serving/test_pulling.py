"""Pods whose copy of the bucket is late: waited for, said, and no adapter's fault."""

from __future__ import annotations

import pytest

from flywheel.api.conditions import READY, RECONCILING, STALLED

from .world import Pod, World, digest, run_with

BUCKET = {"s3": {"endpoint": "http://minio:9000", "bucket": "models", "secretRef": {"name": "models-write"}}}


def world(*, bucket: bool = True, rollout: dict[str, object] | None = None) -> World:
    """The first adapter serves on one pod, or on two with a canary, and a second one is offered."""
    found = World(runs=[run_with(1)], pods={name: Pod() for name in ("triton-0", "triton-1")[: 2 if rollout else 1]})
    if bucket:
        target = {"serviceRef": {"name": "triton"}, "model": "severity", "repository": BUCKET}
        found.edit(target={"triton": target}, rollout=rollout)
    found.settle()
    found.runs = [run_with(2, iteration=2)]
    return found


def until(found: World, field: str) -> None:
    """Decide, with Jobs ending well, until the rollout has that; the calls of the next step come then."""
    for _ in range(50):
        found.decide()
        found.end_jobs()
        rollout = found.deployment.status.rollout
        if rollout is not None and getattr(rollout, field):
            return
    raise AssertionError(f"never comes to it: {field}")


@pytest.mark.parametrize("field", ["on_server", "committed"])
def test_a_late_copy_is_waited_for_and_not_hotly(field: str) -> None:
    found = world()
    until(found, field)
    begun, found.late_pulls = found.now, 6
    said: set[str] = set()
    for _ in range(13):
        plan = found.decide()
        assert plan.calls or (plan.requeue_after or 0) >= 4, "no hot loop"
        assert found.condition(RECONCILING) == ("True", "Loading") and found.condition(STALLED) is None
        said |= {entry.message for entry in found.deployment.status.conditions}
    assert any("pod triton-0 has not pulled severity" in words and "from the bucket yet" in words for words in said)
    assert 60 < (found.now - begun).total_seconds() < 300
    assert found.late_pulls == 0
    found.settle()
    assert found.pods["triton-0"].stable == digest(2)
    assert found.deployment.status.rejected == []


def test_a_copy_that_never_comes_is_said_and_the_adapter_is_not_rejected() -> None:
    found = world()
    until(found, "on_server")
    begun, found.late_pulls = found.now, 1000
    for _ in range(50):
        if found.condition(STALLED) is None:
            found.decide()
    assert 240 < (found.now - begun).total_seconds() < 420
    for _ in range(100):
        found.decide()
    assert found.condition(STALLED) == ("True", "TargetUnavailable")
    assert any("see the log of its container that pulls" in each.message for each in found.deployment.status.conditions)
    assert found.deployment.status.rejected == [] and found.pods["triton-0"].stable == digest(1)
    found.late_pulls = 0
    found.settle()
    assert found.pods["triton-0"].stable == digest(2) and found.condition(READY) == ("True", "Serving")


def test_a_late_canary_is_not_taken_for_a_bad_one() -> None:
    found = world(rollout={"canary": {"pods": 1, "pause": "10m"}})
    until(found, "committed")
    found.late_pulls = 6
    found.settle()
    assert {pod.stable for pod in found.pods.values()} == {digest(2)}
    assert found.deployment.status.rejected == []


@pytest.mark.parametrize("late", [0, 5])
def test_an_adapter_that_cannot_be_loaded_is_rejected_all_the_same(late: int) -> None:
    found = world()
    until(found, "on_server")
    found.late_pulls, found.broken_loads = late, 3  # a late call does not come to be broken
    found.settle()
    assert [entry.digest for entry in found.deployment.status.rejected] == [digest(2)]
    assert found.pods["triton-0"].stable == digest(1)


def test_on_a_claim_what_is_not_there_never_comes() -> None:
    found = world(bucket=False)
    until(found, "on_server")
    found.late_pulls = 3
    found.settle()
    assert [entry.digest for entry in found.deployment.status.rejected] == [digest(2)]
