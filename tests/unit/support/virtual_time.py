"""A loop whose time jumps to the next timer: hours pass in no time, in the order that they would."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


def _nothing() -> bool:
    return False


class _Jump(selectors.SelectSelector):
    """Instead of waiting, time goes on; `idle` is asked before, and says whether there is something to do first."""

    def __init__(self, idle: Callable[[], bool], now: float) -> None:
        super().__init__()
        self.idle, self.now = idle, now

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout == 0 or self.idle():
            return super().select(0)
        if timeout is None:
            raise RuntimeError("nothing will ever happen")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self, idle: Callable[[], bool] = _nothing, now: float = 0.0) -> None:
        self.jump = _Jump(idle, now)
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.now


class InlineLoop(VirtualLoop):
    """And without threads: what is given to an executor is done at once, so that nothing happens by chance."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it sees it, as an executor's
            done.set_exception(error)
        return done
