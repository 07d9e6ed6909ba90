"""Tells a silent watch from an idle cluster: what a listing showed, the watch must have told of soon after. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

SILENT_SECONDS = 45.0


@dataclass
class Watches:
    """By kind: the newest version that the watch told of, and the newest that a listing showed."""

    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, int] = field(default_factory=dict[str, int])
    _seen_at: dict[str, float] = field(default_factory=dict[str, float])
    _owed: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    def saw(self, kind: str, version: int) -> None:
        """A watch event."""
        self._seen[kind] = max(version, self._seen.get(kind, 0))
        self._seen_at[kind] = self.clock()
        owed = self._owed.get(kind)
        if owed is not None and self._seen[kind] >= owed[0]:
            del self._owed[kind]

    def listed(self, kind: str, newest: int, now: float) -> None:
        """A listing whose newest object has this version."""
        if newest > self._seen.get(kind, 0):
            since = self._owed[kind][1] if kind in self._owed else now
            self._owed[kind] = (newest, since)
        else:  # what was owed is gone: a listing of the watch's own may have skipped it
            self._owed.pop(kind, None)

    def stuck(self, now: float) -> tuple[str, ...]:
        """Kinds whose watch still owes news that a listing showed a while ago."""
        return tuple(sorted(kind for kind, (_, since) in self._owed.items() if now - since > SILENT_SECONDS))

    def ages(self, now: float) -> dict[str, float]:
        """Time since each kind's last event."""
        return {kind: now - at for kind, at in self._seen_at.items()}
