"""A queue of keys: each waits once, each is worked on by one worker at a time, errors come back later.

Level-triggered: a key says only that something may have changed. Must not know what its keys mean.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flywheel.controller.metrics import Metrics

log = logging.getLogger(__name__)
Key = TypeVar("Key")

BACKOFF_FIRST, BACKOFF_MOST = 0.05, 300.0
RESYNC_SECONDS, RESYNC_JITTER = 600.0, 0.2
NEVER = math.inf


@dataclass(frozen=True)
class _Timer:
    due: float
    handle: asyncio.TimerHandle


class Workqueue(Generic[Key]):
    """`work(key)` returns seconds after which to look again; None: when it is time; NEVER: its object is gone.

    Make and use it inside the event loop.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Key], Awaitable[float | None]],
        metrics: Metrics,
        workers: int,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name, self._work, self._metrics, self._count, self._jitter = name, work, metrics, workers, jitter
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Key] = asyncio.Queue()
        self._dirty: dict[Key, float] = {}  # since when it waits
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, _Timer] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._count)]

    async def stop(self) -> None:
        """Stop; work under way is not waited for."""
        for timer in self._timers.values():
            timer.handle.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def add(self, key: Key) -> None:
        """Work on it soon. While it waits, adding it again changes nothing."""
        if key in self._dirty:
            return
        self._dirty[key] = self._loop.time()
        self._metrics.queue_added(self.name)
        if key not in self._busy:
            self._enqueue(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on it then, unless something earlier was asked for."""
        due = self._loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.due <= due:
                return
            timer.handle.cancel()
        self._timers[key] = _Timer(due, self._loop.call_later(seconds, self._due, key))

    @property
    def depth(self) -> int:
        """Keys waiting."""
        return len(self._dirty)

    def dead_workers(self) -> int:
        """Workers that ended, which none ever should."""
        return sum(task.done() for task in self._tasks)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.handle.cancel()

    def _enqueue(self, key: Key) -> None:
        self._queue.put_nowait(key)
        self._metrics.queue_depth(self.name, self.depth)

    async def _run(self) -> None:
        while True:
            key = await self._queue.get()
            self._metrics.queue_waited(self.name, self._loop.time() - self._dirty.pop(key))
            self._metrics.queue_depth(self.name, self.depth)
            self._busy.add(key)
            self._cancel_timer(key)  # this look replaces the one that was planned
            began = self._loop.time()
            try:
                await self._look(key)
            finally:
                self._metrics.queue_worked(self.name, self._loop.time() - began)
                self._busy.remove(key)
                if key in self._dirty:
                    self._enqueue(key)

    async def _look(self, key: Key) -> None:
        try:
            again = await self._work(key)
        except Exception:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(BACKOFF_FIRST * 2.0 ** min(failures - 1, 30), BACKOFF_MOST)
            self._metrics.queue_retry(self.name)
            log.exception("%s: failed %d times, tried again in %.1f s", key, failures, delay)
            self.add_after(key, delay)
            return
        self._failures.pop(key, None)
        if again == NEVER:
            return
        resync = RESYNC_SECONDS * (1 + RESYNC_JITTER * (self._jitter() - 0.5))
        self.add_after(key, resync if again is None else min(max(again, 0.0), resync))
