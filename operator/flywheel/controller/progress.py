"""What a running step says of itself: the newest progress line of its log, read and written at most so often."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime

from flywheel.api.flywheelrun import FlywheelRunStatus, Progress
from flywheel.controller.client import Api, ApiError
from flywheel.controller.labels import CONTAINER
from flywheel.controller.resources import POD

log = logging.getLogger(__name__)
READ_SECONDS, WRITE_SECONDS = 30.0, 60.0
MARK = "progress "
_LINES, _LINE_MAX = 5, 512


@dataclass
class ProgressReader:
    """Remembers when each pod's log was read."""

    api: Api
    _read_at: dict[str, datetime] = field(default_factory=dict[str, datetime])

    def look(
        self, status: FlywheelRunStatus, namespace: str, pod: str, pod_uid: str, now: datetime
    ) -> tuple[Progress | None, float]:
        """Progress to write, or None; and seconds until it is worth looking again."""
        last = self._read_at.get(pod_uid)
        ago = (now - last).total_seconds() if last is not None else READ_SECONDS
        if 0 <= ago < READ_SECONDS:  # less than 0: the clock has gone back
            return None, READ_SECONDS - ago
        self._read_at[pod_uid] = now
        self._forget_old(now)
        try:
            text = self.api.log_tail(POD, namespace, pod, CONTAINER, _LINES)
        except ApiError as error:  # the container may have ended just now
            log.debug("log of pod %s/%s was not read: %s", namespace, pod, error)
            return None, READ_SECONDS
        line = newest_progress(text)
        before = status.progress
        if not line or (before is not None and before.line == line):
            return None, READ_SECONDS
        if before is not None and 0 <= (now - before.time).total_seconds() < WRITE_SECONDS:
            return None, READ_SECONDS
        return Progress(line=line, time=now), READ_SECONDS

    def _forget_old(self, now: datetime) -> None:
        self._read_at = {uid: at for uid, at in self._read_at.items() if (now - at).total_seconds() < READ_SECONDS * 4}


def newest_progress(text: str) -> str:
    """The newest line that reports progress, without what stands before it; empty where there is none."""
    found = next((line for line in reversed(text.splitlines()) if MARK in line), "")
    words = found.partition(MARK)[2]
    return "".join(char for char in words if char.isprintable()).strip()[:_LINE_MAX]
