"""Keeps the Lease from a thread of its own, so that a slow event loop does not lose it, and tells health and metrics.

Must not know what a leader does. A standby is alive and ready: it reads the Lease, and does nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from flywheel.controller.health import Health
from flywheel.controller.lease import NAME, RETRY_SECONDS, Lease
from flywheel.controller.metrics import Metrics

log = logging.getLogger(__name__)


class Election:
    """`won` and `lost` are called from the thread, each at most once; `lost` must end the process."""

    def __init__(
        self, lease: Lease, health: Health, metrics: Metrics, won: Callable[[], object], lost: Callable[[], None]
    ) -> None:
        self._lease, self._health, self._metrics, self._won, self._lost = lease, health, metrics, won, lost
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def start(self) -> None:
        """Stand by from now on."""
        self._health.standby = True
        self._metrics.leader(NAME, leading=False)
        log.info("%s stands by", self._lease.me)
        self._thread.start()

    def end(self) -> None:
        """Hand the Lease over, where it is ours."""
        self._over.set()
        self._thread.join()
        self._lease.release()
        self._metrics.leader(NAME, leading=False)

    def _keep(self) -> None:
        try:
            while True:
                answered = self._lease.turn()
                decision = self._lease.decision
                if decision == "lost":
                    log.critical("the Lease is lost: this process ends at once; another replica leads, or will")
                    self._lost()
                    return
                if self._health.standby:
                    self._tell(answered, leading=decision == "renew")
                if self._over.wait(RETRY_SECONDS):
                    return
        except Exception:
            log.exception("the Lease cannot be kept: this process ends at once")
            self._lost()

    def _tell(self, answered: bool, leading: bool) -> None:
        """As long as we stand by, this thread's is the heartbeat; then it is the host's."""
        self._health.beat_at = self._health.clock()
        if answered:
            self._health.api_answered_at = self._health.clock()
        if leading:
            log.info("%s leads", self._lease.me)
            self._health.standby = False
            self._metrics.leader(NAME, leading=True)
            self._won()
