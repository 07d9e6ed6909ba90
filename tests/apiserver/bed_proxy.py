"""Stands between an operator's process and the API server, sees each write, and may have the process killed at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3
from bed_control_plane import ControlPlane
from bed_faults import label

Decide = Callable[[str], bool]
_OURS = {"host", "connection", "accept-encoding", "content-length", "transfer-encoding"}


class Proxy(ThreadingHTTPServer):
    """`before` and `after` are told of each write; True: the process is dead, and hears no answer."""

    daemon_threads = True

    def __init__(self, plane: ControlPlane, before: Decide, after: Decide) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.before, self.after = before, after
        self.server = f"https://127.0.0.1:{plane.port}"
        self.pool = urllib3.PoolManager(ca_certs=f"{plane.folder}/api/apiserver.crt", retries=False)

    def start(self) -> None:
        """Run in a thread."""
        threading.Thread(target=self.serve_forever, name="proxy", daemon=True).start()

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
        with suppress(OSError, urllib3.exceptions.HTTPError):  # one of both ends has gone
            self._forward(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = label(self.command, self.path, body.decode())
        self.close_connection = self.server.before(name)
        if self.close_connection:
            return
        with suppress(OSError):
            self._forward(body, name)

    do_PATCH = do_DELETE = do_POST

    def _forward(self, body: bytes, write: str | None = None) -> None:
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
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""
