"""The queue, in virtual time: one at a time, nothing lost, errors back off, looked at again by itself."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from flywheel.controller.metrics import Metrics
from flywheel.controller.workqueue import BACKOFF_MOST, NEVER, RESYNC_SECONDS, Workqueue


def queue(work: Any, workers: int = 4) -> Workqueue[str]:
    return Workqueue("test", work, Metrics(), workers=workers, jitter=lambda: 0.5)


def test_a_burst_is_one_look_and_the_last_news_is_seen(virtual: Any) -> None:
    seen: list[float] = []

    async def main() -> None:
        async def work(_key: str) -> None:
            seen.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)

        found = queue(work)
        found.start()
        for _ in range(100):
            found.add("a")
        await asyncio.sleep(0.5)
        for _ in range(100):
            found.add("a")  # while it is worked on
        await asyncio.sleep(10)
        await found.stop()

    virtual(main)
    assert seen == [0.0, 1.0]


def test_a_key_is_never_worked_on_twice_at_once(virtual: Any) -> None:
    busy: list[str] = []

    async def main() -> None:
        async def work(key: str) -> None:
            assert key not in busy
            busy.append(key)
            await asyncio.sleep(1)
            busy.remove(key)

        found = queue(work)
        found.start()
        for number in range(40):
            found.add(f"key-{number % 5}")
            await asyncio.sleep(0.1)
        await asyncio.sleep(20)
        assert found.depth == 0 and found.dead_workers() == 0
        await found.stop()

    virtual(main)
    assert busy == []


def test_errors_back_off_and_are_forgotten_after_success(virtual: Any) -> None:
    looks: list[float] = []

    async def main() -> None:
        async def work(_key: str) -> None:
            looks.append(asyncio.get_running_loop().time())
            if len(looks) <= 20:
                raise ValueError("not yet")

        found = queue(work)
        found.start()
        found.add("a")
        await asyncio.sleep(10_000)
        await found.stop()

    virtual(main)
    pauses = [after - before for before, after in pairwise(looks)]
    assert [round(pause, 2) for pause in pauses[:4]] == [0.05, 0.1, 0.2, 0.4]
    assert max(pauses[:20]) == pytest.approx(BACKOFF_MOST)
    assert [round(pause) for pause in pauses[20:23]] == [RESYNC_SECONDS] * 3


def test_requeue_is_kept_unless_something_came_first(virtual: Any) -> None:
    looks: list[float] = []

    async def main() -> None:
        async def work(_key: str) -> float:
            looks.append(asyncio.get_running_loop().time())
            return 30.0

        found = queue(work)
        found.start()
        found.add("a")
        await asyncio.sleep(10)
        found.add("a")
        found.add_after("a", 100)  # later than what is planned: no effect
        await asyncio.sleep(45)
        await found.stop()

    virtual(main)
    assert looks == [0.0, 10.0, 40.0]


def test_slow_keys_do_not_hold_up_others(virtual: Any) -> None:
    done: dict[str, float] = {}

    async def main() -> None:
        async def work(key: str) -> None:
            await asyncio.sleep(1000 if key == "slow" else 1)
            done[key] = asyncio.get_running_loop().time()

        found = queue(work, workers=2)
        found.start()
        for key in ("slow", "a", "b", "c"):
            found.add(key)
        await asyncio.sleep(100)
        await found.stop()

    virtual(main)
    assert done == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_what_is_gone_is_not_looked_at_again(virtual: Any) -> None:
    looks: list[str] = []

    async def main() -> None:
        async def work(key: str) -> float:
            looks.append(key)
            return NEVER

        found = queue(work)
        found.start()
        found.add("gone")
        await asyncio.sleep(10_000)
        await found.stop()

    virtual(main)
    assert looks == ["gone"]
