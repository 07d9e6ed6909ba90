"""A loop whose time jumps to the next timer: hours pass in no time, in the order that they would."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


class _Jump(selectors.SelectSelector):
    """Nobody writes to us: instead of waiting, time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.now


@pytest.fixture
def virtual() -> Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]:
    """Run a coroutine function in virtual time."""

    def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        loop = VirtualLoop()
        try:
            return loop.run_until_complete(main())
        finally:
            loop.close()

    return run
