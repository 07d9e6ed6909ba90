"""Progress lines: what the operator shows of a running step. At most one every two seconds, and the last."""

from __future__ import annotations

import time

_SECONDS = 2.0


class Progress:
    """Counts items of one arm: `progress validate candidate 120/300`."""

    def __init__(self, step: str, arm: str, total: int) -> None:
        self._words = f"progress {step} {arm}"
        self._total = total
        self._done = 0
        self._said = time.monotonic()

    def advance(self, items: int) -> None:
        """Count finished items."""
        self._done += items
        now = time.monotonic()
        if self._done >= self._total or now - self._said >= _SECONDS:
            self._said = now
            print(f"{self._words} {self._done}/{self._total}", flush=True)
