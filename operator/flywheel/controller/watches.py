"""Tells a silent watch from an idle cluster: what listings show again and again, the watch must have told of. Pure.

Only a listing that was answered can prove a watch silent: while the API server is away, all of them are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

SILENT_SECONDS = 30.0


@dataclass
class Watches:
    """By watch: the newest version that it told of, and since when it owes a newer one that a listing showed."""

    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, int] = field(default_factory=dict[str, int])
    _seen_at: dict[str, float] = field(default_factory=dict[str, float])
    _owed: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    _silent: set[str] = field(default_factory=set[str])

    def saw(self, watch: str, version: int) -> None:
        """An event."""
        self._seen[watch] = max(version, self._seen.get(watch, 0))
        self._seen_at[watch] = self.clock()
        if watch in self._owed and self._seen[watch] >= self._owed[watch][0]:
            self._settle(watch)

    def listed(self, watch: str, newest: int) -> None:
        """A listing whose newest object has this version."""
        now = self.clock()
        if newest <= self._seen.get(watch, 0):  # also where what was owed is gone
            self._settle(watch)
            return
        # A watch that moves is late, not silent.
        since = self._owed.get(watch, (0, now))[1]
        since = max(since, self._seen_at.get(watch, since))
        self._owed[watch] = (newest, since)
        if now - since >= SILENT_SECONDS:
            self._silent.add(watch)
        else:
            self._silent.discard(watch)

    def unanswered(self) -> None:
        """A listing was not answered: the watches may be cut off too, and have to be proven silent anew."""
        self._owed.clear()
        self._silent.clear()

    @property
    def owing(self) -> bool:
        """Whether another listing is needed soon, to know."""
        return bool(self._owed)

    def silent(self) -> tuple[str, ...]:
        """Watches that are up and tell nothing."""
        return tuple(sorted(self._silent))

    def ages(self) -> dict[str, float]:
        """Time since each watch's last event."""
        now = self.clock()
        return {watch: now - at for watch, at in self._seen_at.items()}

    def _settle(self, watch: str) -> None:
        self._owed.pop(watch, None)
        self._silent.discard(watch)
