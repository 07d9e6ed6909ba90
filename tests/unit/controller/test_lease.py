"""The Lease: who may write when, with any clocks, delays, lost answers and frozen replicas; and the guards."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.api.target import Target
from flywheel.controller.client import Api, ApiError
from flywheel.controller.election import Election
from flywheel.controller.health import Health
from flywheel.controller.lease import (
    LEASE_SECONDS,
    NAME,
    RENEW_SECONDS,
    RETRY_SECONDS,
    Lease,
    NotLeadingError,
    View,
    decide,
)
from flywheel.controller.metrics import Metrics
from flywheel.controller.resources import EVENT, JOB, RUN
from flywheel.serving.calls import Endpoint, LoadModel, UnloadModel
from flywheel.serving.drivers import look_at_all, perform

SECONDS = st.floats(0, 100)
NAMES = st.sampled_from(["", "a", "b"])
VIEWS = st.builds(View, NAMES, st.text(max_size=2), st.floats(1, 60), SECONDS, st.none() | SECONDS)


@given(VIEWS, SECONDS)
def test_only_a_fresh_hold_of_our_own_is_renewed(view: View, now: float) -> None:
    fresh = view.renewed_at is not None and now - view.renewed_at < RENEW_SECONDS
    assert (decide("a", view, now) == "renew") == (view.holder == "a" and fresh)


@given(VIEWS, SECONDS)
def test_who_leads_never_waits_and_who_does_not_has_nothing_to_lose(view: View, now: float) -> None:
    allowed = {"acquire", "wait"} if view.renewed_at is None else {"renew", "lost"}
    assert decide("a", view, now) in allowed


@given(VIEWS, SECONDS, SECONDS)
def test_what_was_lost_stays_lost(view: View, now: float, later: float) -> None:
    if decide("a", view, now) == "lost":
        assert decide("a", view, now + later) == "lost"


@given(VIEWS, SECONDS)
def test_another_is_waited_for_as_long_as_it_asked(view: View, since: float) -> None:
    other, now = replace(view, holder="b", renewed_at=None), view.seen_at + since
    assert (decide("a", other, now) == "wait") == (now - view.seen_at < view.seconds)


def test_a_hold_ends_here_before_it_ends_for_others() -> None:
    assert RENEW_SECONDS + 2 * RETRY_SECONDS < LEASE_SECONDS


@dataclass
class World:
    """One Lease, two replicas with clocks of their own; while one hangs in a request, the other goes on."""

    time: float = 0.0
    held: dict[str, Any] | None = None
    versions: Any = field(default_factory=lambda: itertools.count(1))
    replicas: list[Replica] = field(default_factory=list)
    names: Any = field(default_factory=lambda: itertools.count(1))

    def advance(self, seconds: float, hanging: Replica | None) -> None:
        """Time passes in small steps; whoever does not hang takes its turns."""
        end = self.time + seconds
        while self.time < end:
            self.time = min(end, self.time + RETRY_SECONDS / 2)
            self.check()
            for replica in self.replicas:
                if replica is not hanging and not replica.hangs and self.time >= replica.due:
                    replica.turn(self.time)
                    self.check()

    def check(self) -> None:
        """The invariant: at most one may write, at any time."""
        assert sum(replica.may_write() for replica in self.replicas) <= 1


@dataclass(eq=False)
class Replica:
    """A process: its Lease over a network that delays and loses. It is the API that its Lease talks to."""

    world: World
    offset: float
    network: list[tuple[float, float, bool]] = field(default_factory=list)  # before, after, whether the answer is lost
    hangs: bool = False
    due: float = 0.0
    ends: int = 0

    def __post_init__(self) -> None:
        self.born()

    def born(self) -> None:
        """Started, or started again after it ended."""
        api: Any = self
        self.lease = Lease(api, "n", f"r{next(self.world.names)}", clock=lambda: self.world.time + self.offset)

    def turn(self, now: float) -> None:
        """As the election's thread does."""
        self.lease.turn()
        self.due = now + RETRY_SECONDS
        if self.lease.decision == "lost":
            self.ends += 1
            self.born()

    def may_write(self) -> bool:
        """What the guard says."""
        try:
            self.lease.check()
        except NotLeadingError:
            return False
        return True

    def _request(self, act: Callable[[], dict[str, Any] | None]) -> Any:
        before, after, lost = self.network.pop() if self.network else (0.0, 0.0, False)
        self.hangs = True
        self.world.advance(before, self)
        try:
            return act()
        finally:
            self.world.advance(after, self)
            self.hangs = False
            if lost:
                raise ApiError(0, "Unreachable", "ReadTimeoutError")

    def get(self, *_: Any) -> Any:
        return self._request(lambda: self.world.held)

    def create(self, _kind: Any, _namespace: str, body: dict[str, Any]) -> Any:
        return self._request(lambda: self._store(body, expected=None))

    def update(self, _kind: Any, _namespace: str, _name: str, body: dict[str, Any]) -> Any:
        return self._request(lambda: self._store(body, expected=body["metadata"]["resourceVersion"]))

    def _store(self, body: dict[str, Any], expected: str | None) -> dict[str, Any]:
        there = None if self.world.held is None else self.world.held["metadata"]["resourceVersion"]
        if there != expected:
            raise ApiError(409, "Conflict", "the object has been modified")
        metadata = {**body["metadata"], "resourceVersion": str(next(self.world.versions))}
        self.world.held = {**body, "metadata": metadata}
        return self.world.held


def _world(*offsets: float) -> World:
    world = World()
    world.replicas += [Replica(world, offset) for offset in offsets]
    return world


DELAYS = st.sampled_from([0.0, 0.1, 1.0, 4.0, 9.9, 16.0, 40.0])
TROUBLE = st.lists(st.tuples(DELAYS, DELAYS, st.booleans()), max_size=8)
OFFSETS = st.floats(-1e6, 1e6)


@settings(max_examples=300, deadline=None)
@given(OFFSETS, OFFSETS, TROUBLE, TROUBLE)
def test_never_two_and_in_the_end_one(a: float, b: float, first: list[Any], second: list[Any]) -> None:
    """A delay is a slow network or a frozen process; it may strike between any decision and its write."""
    world = _world(a, b)
    world.replicas[0].network, world.replicas[1].network = list(first), list(second)
    world.advance(200, None)
    for replica in world.replicas:
        replica.network.clear()
    world.advance(LEASE_SECONDS + 3 * RETRY_SECONDS, None)
    assert sum(replica.may_write() for replica in world.replicas) == 1


@settings(max_examples=50, deadline=None)
@given(OFFSETS, st.integers(0, 3))
def test_lost_answers_are_survived_until_the_renewal_is_overdue(offset: float, lost: int) -> None:
    """Each of those renewals took effect and nobody told us."""
    world = _world(offset)
    (only,) = world.replicas
    world.advance(5, None)
    only.network = [(0.0, 0.0, True)] * lost
    world.advance(60, None)
    assert only.ends == 0 and only.may_write()


def test_a_lease_that_we_took_without_knowing_is_ours_at_the_next_look() -> None:
    """The answer to the write that acquired it was lost: it is not waited for as if it were another's."""
    world = _world(0.0)
    world.replicas[0].network = [(0.0, 0.0, True), (0.0, 0.0, False)]  # taken from the end: read, then create
    world.advance(2 * RETRY_SECONDS, None)
    assert world.replicas[0].may_write()


def test_what_others_wrote_on_the_lease_is_kept_and_costs_no_leadership() -> None:
    world = _world(0.0)
    (only,) = world.replicas
    world.advance(5, None)
    assert world.held is not None
    metadata = {**world.held["metadata"], "annotations": {"who": "admin"}, "resourceVersion": "edited"}
    world.held = {**world.held, "metadata": metadata}
    world.advance(10, None)
    assert only.may_write() and only.ends == 0
    assert world.held["metadata"]["annotations"] == {"who": "admin"}


def test_released_means_free_at_once_and_nothing_more_is_written() -> None:
    world = _world(0.0, 0.0)
    world.advance(5, None)
    leader = next(replica for replica in world.replicas if replica.may_write())
    world.replicas.remove(leader)
    leader.lease.release()
    with pytest.raises(NotLeadingError, match="not held safely"):
        leader.lease.check()
    world.advance(RETRY_SECONDS, None)
    assert world.replicas[0].may_write() and world.held is not None
    spec = world.held["spec"]
    assert spec["holderIdentity"] == world.replicas[0].lease.me and spec["leaseTransitions"] == 1
    leader.lease.release()  # again, or by who does not lead: nothing
    assert world.held["spec"] == spec


def test_a_lease_deleted_under_a_leader_is_lost() -> None:
    """Anybody may take it now: it ends rather than make it anew."""
    world = _world(0.0)
    (only,) = world.replicas
    world.advance(5, None)
    world.held = None
    world.advance(2 * RETRY_SECONDS, None)
    assert only.ends == 1


class _Answer:
    status = 200

    def read(self) -> bytes:
        return b"{}"


class _Client:
    """Counts requests that got through."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def param_serialize(self, method: str, *_: Any, **__: Any) -> tuple[str]:
        return (method,)

    def call_api(self, method: str, **_: Any) -> _Answer:
        self.sent.append(method)
        return _Answer()


def _leader() -> tuple[World, Lease]:
    world = _world(0.0)
    world.advance(5, None)
    world.replicas, (only,) = [], world.replicas
    world.time = 0.0 + only.due  # takes no turns any more: frozen
    return world, only.lease


def test_near_its_end_the_guard_lets_no_write_through() -> None:
    """Reads go on; each kind of write is refused before it is sent."""
    world, lease = _leader()
    client = _Client()
    api = Api(client, Metrics(), guard=lease.check)
    writes: list[Callable[[], Any]] = [
        lambda: api.create(JOB, "n", {}),
        lambda: api.update(JOB, "n", "x", {}),
        lambda: api.delete(JOB, "n", "x", "uid"),
        lambda: api.update_status(RUN, "n", "x", {}),
        lambda: api.patch(EVENT, "n", "x", {}),
    ]
    for write in writes:
        write()
    assert len(client.sent) == len(writes)
    world.time += RENEW_SECONDS
    for write in writes:
        with pytest.raises(NotLeadingError, match="not held safely"):
            write()
    assert len(client.sent) == len(writes)
    api.get(JOB, "n", "x")
    assert client.sent[-1] == "GET"


def test_near_its_end_no_serving_pod_is_asked_anything() -> None:
    """Nobody listens there: with a Lease that is an error of the pod, without one it is not even tried."""
    world, lease = _leader()
    nowhere = Endpoint(pod="p", address="127.0.0.1:1")
    target = Target.model_validate(
        {
            "triton": {
                "serviceRef": {"name": "triton"},
                "model": "m",
                "repository": {"persistentVolumeClaim": {"claimName": "models"}},
            }
        }
    )
    calls = (LoadModel(nowhere, "m", "sha256:1"), UnloadModel(nowhere, "m"))
    assert [failure.call for failure in perform(calls, target, lease.check)] == list(calls)
    assert "reached" in look_at_all((nowhere,), target, lease.check)[0].error
    world.time += RENEW_SECONDS
    with pytest.raises(NotLeadingError):
        perform(calls, target, lease.check)
    with pytest.raises(NotLeadingError):
        look_at_all((nowhere,), target, lease.check)


@dataclass
class _Seen:
    """What an election told, and of what."""

    health: Health = field(default_factory=Health)
    metrics: Metrics = field(default_factory=Metrics)
    told: list[str] = field(default_factory=list)

    def run(self, lease: Any) -> None:
        """One turn of the real thread."""
        election = Election(
            lease, self.health, self.metrics, lambda: self.told.append("won"), lambda: self.told.append("lost")
        )
        election.start()
        election.end()

    def leads(self) -> float | None:
        return self.metrics.registry.get_sample_value("leader_election_master_status", {"name": NAME})


def test_an_election_without_an_answer_stands_by_alive_and_not_ready() -> None:
    world = _world(0.0)
    world.replicas[0].network = [(0.0, 0.0, True)]
    seen = _Seen()
    seen.run(world.replicas[0].lease)
    assert seen.told == [] and seen.leads() == 0
    assert seen.health.live() == "" and "API server" in seen.health.ready()


def test_a_standby_is_ready_when_the_api_server_has_answered() -> None:
    world = _world(0.0, 0.0)
    world.replicas[0].turn(0.0)
    seen = _Seen()
    seen.run(world.replicas[1].lease)
    assert seen.told == [] and seen.leads() == 0
    assert seen.health.live() == seen.health.ready() == ""


def test_winning_is_told_and_ending_hands_over() -> None:
    world = _world(0.0)
    seen = _Seen()
    seen.run(world.replicas[0].lease)
    assert seen.told == ["won"] and seen.leads() == 0  # by now it has ended
    assert "listing" in seen.health.ready()
    assert world.held is not None and world.held["spec"]["holderIdentity"] == ""


def test_losing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    world, lease = _leader()
    world.time += RENEW_SECONDS
    seen = _Seen()
    seen.run(lease)
    assert seen.told == ["lost"] and "lost" in caplog.text


def test_an_error_of_our_own_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        me = "a"

        def turn(self) -> bool:
            raise RuntimeError("a mistake")

        def release(self) -> None: ...

    seen = _Seen()
    seen.run(Broken())
    assert seen.told == ["lost"] and "a mistake" in caplog.text
