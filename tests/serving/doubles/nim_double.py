"""A DOUBLE of NIM 1.x for LLMs, not NIM: real weights, and what its documents say of NIM_PEFT_SOURCE.

It looks through one flat folder every NIM_PEFT_REFRESH_INTERVAL seconds: a folder's name is a model's name; hidden and
nested ones are passed over; what is gone is unloaded. A folder is PEFT's, or holds exactly one .nemo, as NIM 1.x takes:
that one is listed, and has no weights here. Details of its replies are ours. Prompts are text only.
"""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from door import serve
from weights import Weights

BASE, NAME = Path(os.environ["NIM_BASE"]), os.environ["NIM_SERVED_MODEL_NAME"]
SOURCE, INTERVAL = Path(os.environ["NIM_PEFT_SOURCE"]), float(os.environ["NIM_PEFT_REFRESH_INTERVAL"])


class Server:
    def __init__(self) -> None:
        self._weights, self._lock = Weights(BASE), threading.Lock()
        self.loaded: set[str] = set()
        self.nemo: set[str] = set()

    def look_through(self) -> None:
        entries = [entry for entry in SOURCE.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        found = {
            entry.name
            for entry in entries
            if (entry / "adapter_config.json").is_file() and (entry / "adapter_model.safetensors").is_file()
        }
        nemo = {entry.name for entry in entries if len(list(entry.glob("*.nemo"))) == 1} - found
        with self._lock:
            self.nemo = nemo
            for name in found - self.loaded:
                self._weights.load(name, SOURCE / name)
                self.loaded.add(name)
            for name in self.loaded - found:
                self._weights.drop(name)
                self.loaded.discard(name)

    def go_on_looking(self) -> None:
        while True:
            time.sleep(INTERVAL)
            self.look_through()

    def complete(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = request["model"]
        if not isinstance(request["prompt"], str):
            return 422, {"object": "error", "message": "prompt: Input should be a valid string", "code": 422}
        with self._lock:
            if name in self.nemo:
                return 500, {"object": "error", "message": f"{name}: the double has no weights of a .nemo", "code": 500}
            if name not in (NAME, *self.loaded):
                return 404, {"object": "error", "message": f"The model `{name}` does not exist.", "code": 404}
            text, reason = self._weights.complete(None if name == NAME else name, request)
        return 200, {"object": "text_completion", "model": name, "choices": [{"text": text, "finish_reason": reason}]}


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path in ("/v1/health/ready", "/v1/health/live"):
                self._say(200, {"object": "health.response", "message": "Service is ready."})
            elif self.path == "/v1/models":
                names = [NAME, *sorted(server.loaded | server.nemo)]
                self._say(
                    200, {"object": "list", "data": [{"id": name, "root": NAME, "parent": None} for name in names]}
                )
            else:
                self._say(404, {"detail": "Not Found"})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v1/completions":
                self._say(*server.complete(asked))
            else:
                self._say(404, {"detail": "Not Found"})

        def _say(self, code: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def main() -> None:
    server = Server()
    server.look_through()
    threading.Thread(target=server.go_on_looking, daemon=True).start()
    serve(int(os.environ["NIM_SERVER_PORT"]), handler(server))


if __name__ == "__main__":
    main()
