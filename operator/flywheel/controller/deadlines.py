"""By when each thread must be done with what it does: every call has its own deadline, and who is past it is stuck.

Must not know what is done. Times are of a monotonic clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class _Task:
    name: str
    seconds: float
    due: float


class Deadlines:
    """Of the threads that are at work now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tasks: dict[int, _Task] = {}

    @contextmanager
    def within(self, name: str, seconds: float) -> Generator[None]:
        """What this thread does inside takes no longer than that. What it is part of has its full time afterwards."""
        thread = threading.get_ident()
        outer = self._tasks.get(thread)
        self._begin(thread, name if outer is None else f"{outer.name}: {name}", seconds)
        try:
            yield
        finally:
            if outer is not None:
                self._begin(thread, outer.name, outer.seconds)
            else:
                with self._lock:
                    del self._tasks[thread]

    def overdue(self) -> tuple[str, ...]:
        """What should be done by now."""
        now = self._clock()
        with self._lock:
            return tuple(sorted(task.name for task in self._tasks.values() if now > task.due))

    def _begin(self, thread: int, name: str, seconds: float) -> None:
        with self._lock:
            self._tasks[thread] = _Task(name, seconds, self._clock() + seconds)
