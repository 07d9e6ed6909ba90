"""/metrics, /healthz and /readyz, from a thread of their own: a stuck event loop cannot keep us from saying so.

Alive: loop, workers and watches move, which is known within two minutes. Ready: the API server answers, and a leader
has filled its cache.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from flywheel.controller.deadlines import Deadlines
from flywheel.controller.metrics import Metrics

LOOP_STUCK_SECONDS = 60.0
API_AWAY_SECONDS = 90.0


@dataclass
class Health:
    """What the operator's parts tell of themselves; times are of a monotonic clock."""

    clock: Callable[[], float] = time.monotonic
    standby: bool = False
    synced: bool = False
    beat_at: float = field(default=0.0)
    api_answered_at: float = -math.inf
    dead_workers: int = 0
    silent_watches: tuple[str, ...] = ()
    deadlines: Deadlines = field(init=False)

    def __post_init__(self) -> None:
        self.beat_at = self.clock()
        self.deadlines = Deadlines(self.clock)

    def live(self) -> str:
        """Empty, or why the process should be restarted."""
        if self.clock() - self.beat_at > LOOP_STUCK_SECONDS:
            return "the event loop is stuck"
        if self.dead_workers:
            return f"{self.dead_workers} workers have ended"
        if stuck := self.deadlines.overdue():
            return f"stuck: {', '.join(stuck)}"
        if self.silent_watches:
            return f"watches are silent: {', '.join(self.silent_watches)}"
        return ""

    def ready(self) -> str:
        """Empty, or why it is of no use now."""
        if not self.standby and not self.synced:
            return "the first listing is not done"
        if self.clock() - self.api_answered_at > API_AWAY_SECONDS:
            return "the API server has answered no listing for a while"
        return self.live()


def serve(port: int, health: Health, metrics: Metrics) -> ThreadingHTTPServer:
    """Serve on all addresses; port 0 chooses a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path in ("/healthz", "/readyz"):
                fault = health.live() if self.path == "/healthz" else health.ready()
                self._answer(503 if fault else 200, (fault or "ok").encode(), "text/plain; charset=utf-8")
            else:
                self._answer(404, b"/metrics, /healthz or /readyz", "text/plain; charset=utf-8")

        def _answer(self, code: int, body: bytes, content_type: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes are no news."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
