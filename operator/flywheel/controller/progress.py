"""What a running step says of itself: the newest progress line of its log, read and written at most so often."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flywheel.api.flywheelrun_status import FlywheelRunStatus, Progress
from flywheel.controller.client import Api, ApiError
from flywheel.controller.labels import CONTAINER
from flywheel.controller.resources import POD

log = logging.getLogger(__name__)
READ_SECONDS, WRITE_SECONDS = 30.0, 60.0
# Of all pods together: where a thousand run, each is read more rarely, and decisions come first.
_READS_A_SECOND = 5
MARK = "progress "
_LINES, _LINE_MAX = 5, 512


@dataclass
class ProgressReader:
    """Remembers when each pod's log is to be read next."""

    api: Api
    _due: dict[str, datetime] = field(default_factory=dict[str, datetime])

    def look(
        self, status: FlywheelRunStatus, namespace: str, pod: str, pod_uid: str, now: datetime
    ) -> tuple[Progress | None, float]:
        """Progress to write, or None; and seconds until it is worth looking again."""
        interval = max(READ_SECONDS, len(self._due) / _READS_A_SECOND)
        due = self._due.get(pod_uid, now + timedelta(seconds=len(self._due) // _READS_A_SECOND))
        wait = (due - now).total_seconds()
        if 0 < wait <= interval:  # more: the clock has gone back
            self._due[pod_uid] = due
            return None, wait
        self._forget_old(now)
        self._due[pod_uid] = now + timedelta(seconds=interval)
        try:
            text = self.api.log_tail(POD, namespace, pod, CONTAINER, _LINES)
        except ApiError as error:  # the container may have ended just now
            log.debug("log of pod %s/%s was not read: %s", namespace, pod, error)
            return None, interval
        line = newest_progress(text)
        before = status.progress
        if not line or (before is not None and before.line == line):
            return None, interval
        if before is not None and 0 <= (now - before.time).total_seconds() < WRITE_SECONDS:
            return None, interval
        return Progress(line=line, time=now), interval

    def _forget_old(self, now: datetime) -> None:
        """Pods that nobody has asked about since."""
        self._due = {uid: due for uid, due in self._due.items() if now - due < timedelta(seconds=READ_SECONDS * 4)}


def newest_progress(text: str) -> str:
    """The newest line that reports progress, without what stands before it; empty where there is none."""
    found = next((line for line in reversed(text.splitlines()) if MARK in line), "")
    words = found.partition(MARK)[2]
    return "".join(char for char in words if char.isprintable()).strip()[:_LINE_MAX]
