"""How the doubles are reached: with a key and over TLS where DOUBLE_API_KEY and DOUBLE_CERTIFICATE say so.

As in vLLM, the key is asked for under /v1 only; that NIM's probes are open is our guess.
"""

from __future__ import annotations

import os
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(port: int, handler: type[BaseHTTPRequestHandler]) -> None:
    """For ever."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _guarded(handler, os.environ.get("DOUBLE_API_KEY")))
    if certificate := os.environ.get("DOUBLE_CERTIFICATE"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, os.environ["DOUBLE_CERTIFICATE_KEY"])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def _guarded(handler: type[BaseHTTPRequestHandler], key: str | None) -> type[BaseHTTPRequestHandler]:
    class Guarded(handler):
        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            asked_for = self.path.startswith("/v1") and not self.path.startswith("/v1/health")
            if key is None or not asked_for or self.headers["Authorization"] == f"Bearer {key}":
                return True
            self.close_connection = True
            self.send_error(401)
            return False

    return Guarded
