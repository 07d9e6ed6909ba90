"""Liveness and readiness of the whole host: red within two minutes of what is stuck, and never for an API server away.

Hours pass in virtual time; where threads are real, the clock of health is moved by hand.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from flywheel.controller.apply import Tools
from flywheel.controller.cache import Cache
from flywheel.controller.client import ApiError
from flywheel.controller.deadlines import Deadlines
from flywheel.controller.health import Health
from flywheel.controller.host import Host
from flywheel.controller.metrics import Metrics
from flywheel.controller.resources import CURRICULUM, JOB, RUN, Resource
from flywheel.controller.settings import Settings

RED_SECONDS = 120.0
HOUR = 3600.0
Object = dict[str, Any]
Virtual = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


def item(kind: Resource, name: str, version: int, namespace: str = "review") -> Object:
    """An object that cannot be parsed: nothing follows from it but one status write."""
    metadata = {"name": name, "namespace": namespace, "uid": f"{kind.kind}-{name}", "resourceVersion": str(version)}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


class Server:
    """An API server that holds objects and may be away."""

    def __init__(self) -> None:
        self.objects: dict[str, list[Object]] = {}
        self.version = 100
        self.away = False
        self.listings = 0
        self.stop_at = threading.Event()
        self.stopped = threading.Event()
        self.go_on = threading.Event()
        self.deadlines = Deadlines()

    def make(self, kind: Resource, name: str, namespace: str = "review") -> Object:
        self.version += 1
        made = item(kind, name, self.version, namespace)
        self.objects.setdefault(kind.kind, []).append(made)
        return made

    def pages(self, kind: Resource, namespace: str | None, selector: str = "") -> Iterator[tuple[list[Object], int]]:
        self._answer()
        self.listings += 1
        found = self.objects.get(kind.kind, [])
        yield [entry for entry in found if namespace in (None, entry["metadata"]["namespace"])], self.version

    def update_status(self, _kind: Resource, _namespace: str, _name: str, body: Object) -> Object:
        if self.stop_at.is_set():
            self.stopped.set()
            assert self.go_on.wait(60)
        self._answer()
        self.version += 1
        return {**body, "metadata": body["metadata"] | {"resourceVersion": str(self.version)}}

    def create(self, _kind: Resource, _namespace: str, body: Object) -> Object:
        self._answer()
        return body

    def _answer(self) -> None:
        if self.away:
            raise ApiError(0, "Unreachable", "ReadTimeoutError")


def host_of(server: Any, health: Health, *namespaces: str) -> Host:
    settings = Settings(images={}, template="", namespaces=namespaces)
    return Host(Tools(server, Cache(), settings, lambda: None), Metrics(), health)


def tell(host: Host, kind: Resource, made: Object) -> None:
    host.on_event(kind, {"type": "ADDED", "object": made})


def inline(loop: asyncio.AbstractEventLoop) -> None:
    """What is given to threads is done at once: virtual time waits for no thread."""

    def at_once(_pool: Any, work: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        done = loop.create_future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001 - whoever awaits it sees it
            done.set_exception(error)
        return done

    loop.run_in_executor = at_once  # type: ignore[assignment,method-assign]


def lived(
    virtual: Virtual, story: Callable[[Host, Server, Health], Coroutine[Any, Any, None]], *namespaces: str
) -> None:
    """Run a story with a started host, in virtual time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        inline(loop)
        server, health = Server(), Health(clock=loop.time)
        host = host_of(server, health, *namespaces)
        await host.start()
        try:
            await story(host, server, health)
        finally:
            await host.stop()

    virtual(main)


async def watched(health: Health, seconds: float) -> list[tuple[float, str]]:
    """What liveness said, second by second, where it was not well."""
    began = health.clock()
    found: list[tuple[float, str]] = []
    while health.clock() - began < seconds:
        await asyncio.sleep(1.0)
        if said := health.live():
            found.append((health.clock() - began, said))
    return found


def test_an_idle_host_is_well_and_lists_no_more_than_once_a_minute(virtual: Virtual) -> None:
    async def story(host: Host, server: Server, health: Health) -> None:
        tell(host, CURRICULUM, server.make(CURRICULUM, "a"))
        before = server.listings
        assert await watched(health, 10 * HOUR) == []
        assert health.ready() == ""
        assert server.listings - before <= 10 * 60 * 5  # five kinds

    lived(virtual, story)


@pytest.mark.parametrize("after", [0.5, 20.0, 59.0, 61.0, 100.0])
def test_a_silent_watch(virtual: Virtual, after: float) -> None:
    """The listings are answered and show what the watch did not bring: red within two minutes; news makes it green."""

    async def story(host: Host, server: Server, health: Health) -> None:
        tell(host, JOB, server.make(JOB, "a"))
        await asyncio.sleep(after)
        made = server.make(JOB, "b")  # and no event
        red = await watched(health, RED_SECONDS)
        assert red and "Job" in red[0][1]
        tell(host, JOB, made)
        await asyncio.sleep(1.5)
        assert health.live() == ""

    lived(virtual, story)


def test_a_silent_watch_of_one_namespace_is_not_hidden_by_another(virtual: Virtual) -> None:
    async def story(host: Host, server: Server, health: Health) -> None:
        server.make(RUN, "a", "quiet")  # no event
        tell(host, RUN, server.make(RUN, "b", "busy"))
        red = await watched(health, RED_SECONDS)
        assert red and "FlywheelRun in quiet" in red[0][1]

    lived(virtual, story, "quiet", "busy")


def test_a_watch_that_is_late_is_not_silent(virtual: Virtual) -> None:
    """A backlog of thousands takes its time: as long as something comes, nothing is stuck."""

    async def story(host: Host, server: Server, health: Health) -> None:
        made = [server.make(CURRICULUM, f"c-{number}") for number in range(60)]
        found: list[tuple[float, str]] = []
        for entry in made:
            tell(host, CURRICULUM, entry)
            found += await watched(health, 15.0)
        assert found == []

    lived(virtual, story)


@pytest.mark.parametrize("news_before", [False, True])
def test_an_api_server_away_is_not_ready_and_never_not_alive(virtual: Virtual, news_before: bool) -> None:
    """For ten hours, also where the last listing showed news that nobody could bring any more; then all is well."""

    async def story(host: Host, server: Server, health: Health) -> None:
        tell(host, JOB, server.make(JOB, "a"))
        made = server.make(JOB, "b")
        listings = server.listings
        if news_before:
            await _until(lambda: server.listings >= listings + 5)
        server.away = True
        assert await watched(health, 10 * HOUR) == []
        assert "API server" in health.ready()
        server.away = False
        # The watch comes back within its own back-off, later than the first listing.
        assert await watched(health, 25.0) == []
        tell(host, JOB, made)
        assert await watched(health, HOUR) == []
        assert health.ready() == ""

    lived(virtual, story)


def test_not_ready_within_two_minutes(virtual: Virtual) -> None:
    async def story(_host: Host, server: Server, health: Health) -> None:
        await asyncio.sleep(30.0)
        server.away = True
        await asyncio.sleep(RED_SECONDS)
        assert "API server" in health.ready()

    lived(virtual, story)


def test_a_watch_that_does_not_come_back_with_the_api_server(virtual: Virtual) -> None:
    async def story(host: Host, server: Server, health: Health) -> None:
        tell(host, JOB, server.make(JOB, "a"))
        server.away = True
        await asyncio.sleep(HOUR)
        server.away = False
        server.make(JOB, "b")
        red = await watched(health, RED_SECONDS)
        assert red and "Job" in red[0][1]

    lived(virtual, story)


def test_a_dead_worker(virtual: Virtual) -> None:
    async def story(host: Host, server: Server, health: Health) -> None:
        def cancelled(*_: Any) -> None:
            raise asyncio.CancelledError  # no Exception: it ends the worker

        server.update_status = cancelled  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()

        def handed(_pool: Any, work: Callable[..., Any], *arguments: Any) -> Any:
            return work(*arguments)

        loop.run_in_executor = handed  # type: ignore[assignment,method-assign]
        tell(host, CURRICULUM, server.make(CURRICULUM, "a"))
        await asyncio.sleep(3.0)
        assert "ended" in health.live()

    lived(virtual, story)


def test_listings_that_ended(virtual: Virtual) -> None:
    """A fault of ours in the listing: nothing would ever be found again that a watch loses."""

    async def story(_host: Host, server: Server, health: Health) -> None:
        def broken(*_: Any) -> None:
            raise KeyError("metadata")

        server.pages = broken  # type: ignore[method-assign,assignment]
        red = await watched(health, RED_SECONDS)
        assert red and "ended" in red[0][1]

    lived(virtual, story)


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def _until(check: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happens")


async def test_a_stuck_worker() -> None:
    """A thread that hangs outside any call, where the loop and everything else goes on."""
    server, clock = Server(), Clock()
    health = Health(clock=clock)
    host = host_of(server, health)
    await host.start()
    server.stop_at.set()
    tell(host, CURRICULUM, server.make(CURRICULUM, "a"))
    await _until(server.stopped.is_set)
    try:
        assert health.live() == ""
        clock.now = health.beat_at = RED_SECONDS  # the loop is well
        assert "Curriculum review/a" in health.live()
        server.go_on.set()
        await _until(lambda: health.live() == "")
    finally:
        server.go_on.set()
        await host.stop()


async def test_a_blocked_loop() -> None:
    """A handler that blocks: told by health's own thread."""
    server, clock = Server(), Clock()
    health = Health(clock=clock)
    host = host_of(server, health)
    await host.start()
    said: list[str] = []
    free = threading.Event()

    def elsewhere() -> None:
        clock.now += RED_SECONDS
        said.append(health.live())
        free.set()

    threading.Thread(target=elsewhere).start()
    try:
        assert free.wait(60)  # blocks the loop
        assert said == ["the event loop is stuck"]
        await _until(lambda: health.live() == "")
    finally:
        await host.stop()


def test_a_call_has_its_own_deadline_and_its_work_the_full_time_again() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    with deadlines.within("reconcile", 60.0):
        clock.now = 50.0
        with deadlines.within("list jobs", 95.0):
            clock.now = 145.0
            assert deadlines.overdue() == ()
            clock.now = 145.1
            assert deadlines.overdue() == ("reconcile: list jobs",)
        assert deadlines.overdue() == ()
        clock.now += 60.1
        assert deadlines.overdue() == ("reconcile",)
    assert deadlines.overdue() == ()


def test_every_thread_has_its_own() -> None:
    clock, entered, leave = Clock(), threading.Event(), threading.Event()
    deadlines = Deadlines(clock)

    def work() -> None:
        with deadlines.within("one", 10.0):
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(60)
    with deadlines.within("two", 100.0):
        clock.now = 50.0
        assert deadlines.overdue() == ("one",)
        leave.set()
        thread.join()
        assert deadlines.overdue() == ()
