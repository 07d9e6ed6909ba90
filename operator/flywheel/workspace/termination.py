"""SIGTERM, which the kubelet sends: it ends a step between what belongs together, not within.

Must not know what a step does.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class Termination:
    """Whether this process was asked to end, and whether it may now."""

    def __init__(self) -> None:
        self._code: int | None = None
        self._held = False

    def listen(self) -> None:
        """As PID 1 a process ignores SIGTERM unless it asks for it; a step then ends with the usual 143."""
        signal.signal(signal.SIGTERM, self._asked)

    def _asked(self, signum: int, _frame: FrameType | None) -> None:
        self._code = 128 + signum
        if not self._held:
            raise SystemExit(self._code)

    @contextmanager
    def held(self) -> Generator[None]:
        """Put the end off until the block is left; raises SystemExit then. For moments, in the main thread."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._code is not None:
                raise SystemExit(self._code)


termination = Termination()
