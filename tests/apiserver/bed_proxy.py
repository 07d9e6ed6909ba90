"""Stands between an operator and the API server: sees each write, may have the operator killed at it, or cut it off."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3
from bed_control_plane import ControlPlane
from bed_faults import label

Decide = Callable[[str], bool]


def _lives(_write: str) -> bool:
    return False


_OURS = {"host", "connection", "accept-encoding", "content-length", "transfer-encoding"}


class Proxy(ThreadingHTTPServer):
    """`before` and `after` are told of each write; True: the operator is dead, and hears no answer.

    `gone` counts the answers of 410 Gone.
    """

    daemon_threads = True

    def __init__(self, plane: ControlPlane, before: Decide = _lives, after: Decide = _lives) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.before, self.after = before, after
        self.server = f"https://127.0.0.1:{plane.port}"
        self.pool = urllib3.PoolManager(ca_certs=f"{plane.folder}/api/apiserver.crt", retries=False, maxsize=32)
        self.open, self.cuts, self.gone = threading.Event(), 0, 0
        self.open.set()

    def start(self) -> None:
        """Run in a thread."""
        threading.Thread(target=self.serve_forever, name="proxy", daemon=True).start()

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """No request and no news gets through, and what was on its way never will."""
        self.open.clear()
        self.cuts += 1
        yield
        self.open.set()

    def kubeconfig(self, plane: ControlPlane, path: Path) -> Path:
        """The operator's, by way of this."""
        config = json.loads(plane.operator.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.server_port}"}
        path.write_text(json.dumps(config))
        return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy  # type: ignore[assignment]

    def do_GET(self) -> None:
        self._either_end_may_go(b"", None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = label(self.command, self.path, body.decode())
        self.close_connection = self.server.before(name)
        if not self.close_connection:
            self._either_end_may_go(body, name)

    do_PATCH = do_PUT = do_DELETE = do_POST

    def _either_end_may_go(self, body: bytes, write: str | None) -> None:
        try:
            self.server.open.wait()
            self._forward(body, write)
        except (OSError, urllib3.exceptions.HTTPError):
            self.close_connection = True

    def _forward(self, body: bytes, write: str | None) -> None:
        cuts = self.server.cuts
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OURS}
        answer: Any = self.server.pool.request(
            self.command, self.server.server + self.path, body=body or None, headers=headers, preload_content=False
        )
        if write is not None and self.server.after(write):
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _OURS:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in filter(None, answer.stream(65536)):
            if self.server.cuts != cuts:
                raise ConnectionError
            self.server.gone += b'"code":410' in part
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""
