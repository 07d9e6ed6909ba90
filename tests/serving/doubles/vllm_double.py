"""A DOUBLE of vLLM 0.32's OpenAI server, not vLLM: real weights, and what was measured of its LoRA calls.

Names registered by call are forgotten on restart; an adapter that was evicted is read from disk again when it is asked,
and the engine dies where the folder of a registered one is gone (vLLM's only where that one was evicted); refusals have
vLLM's texts. Nothing else of vLLM is here.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from door import serve
from safetensors import SafetensorError, safe_open
from weights import Weights

_ADD = "Call to add_lora method failed: Worker failed with error"


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Engine:
    def __init__(self, base: Path, name: str, max_cpu_loras: int, max_lora_rank: int) -> None:
        self.base_name, self.dead = name, False
        self.registered: dict[str, Path] = {}
        self._cached: OrderedDict[str, None] = OrderedDict()
        self._most, self._rank, self._lock = max_cpu_loras, max_lora_rank, threading.Lock()
        self._weights = Weights(base)

    def load(self, name: str, path: Path, in_place: bool) -> str:
        with self._lock:
            if name == self.base_name:
                raise Refused(400, f"The lora adapter '{name}' conflicts with a served base model.")
            if name in self.registered and not in_place:
                raise Refused(
                    400,
                    f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place,"
                    " set 'load_inplace' to True.",
                )
            if not (path / "adapter_config.json").is_file():
                raise Refused(404, f"Loading lora {name} failed: No adapter found for {path}")
            self._check(path)
            self._cache(name, path)
            self.registered[name] = path
            return f"Success: LoRA adapter '{name}' added successfully."

    def unload(self, name: str) -> str:
        with self._lock:
            if self.registered.pop(name, None) is None:
                raise Refused(404, f"The lora adapter '{name}' cannot be found.")
            self._evict(name)
            return f"Success: LoRA adapter '{name}' removed successfully."

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            name = request["model"]
            if name not in (self.base_name, *self.registered):
                raise Refused(404, f"The model `{name}` does not exist. Valid aliases: {self.base_name}.")
            if not all(path.is_dir() for path in self.registered.values()):
                self.dead = True
                threading.Timer(0.5, os._exit, [1]).start()
                raise Refused(500, "EngineCore encountered an issue. See stack trace (above) for the root cause.")
            if name != self.base_name and name not in self._cached:
                self._cache(name, self.registered[name])
            text, reason = self._weights.complete(None if name == self.base_name else name, request)
            return {"object": "text_completion", "model": name, "choices": [{"text": text, "finish_reason": reason}]}

    def models(self) -> list[dict[str, Any]]:
        base = {"id": self.base_name, "object": "model", "root": self.base_name, "parent": None}
        adapters = [
            {"id": name, "object": "model", "root": str(path), "parent": self.base_name}
            for name, path in self.registered.items()
        ]
        return [base, *adapters]

    def _check(self, path: Path) -> None:
        rank = json.loads((path / "adapter_config.json").read_text())["r"]
        if rank > self._rank:
            raise Refused(500, f"{_ADD} 'LoRA rank {rank} is greater than max_lora_rank {self._rank}.'")
        try:
            with safe_open(path / "adapter_model.safetensors", "pt"):
                pass
        except SafetensorError as error:
            raise Refused(500, f"{_ADD} 'Error while deserializing header: {error}'") from error

    def _cache(self, name: str, path: Path) -> None:
        self._evict(name)
        while len(self._cached) >= self._most:
            self._evict(next(iter(self._cached)))
        self._weights.load(name, path)
        self._cached[name] = None

    def _evict(self, name: str) -> None:
        if name in self._cached:
            del self._cached[name]
            self._weights.drop(name)


def handler(engine: Engine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/health":
                self._say(503 if engine.dead else 200, b"")
            elif self.path == "/v1/models":
                self._say(200, json.dumps({"object": "list", "data": engine.models()}).encode())
            else:
                self._say(404, b'{"detail":"Not Found"}')

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                if self.path == "/v1/load_lora_adapter":
                    in_place = asked.get("load_inplace", False)
                    said = engine.load(asked["lora_name"], Path(asked["lora_path"]), in_place).encode()
                elif self.path == "/v1/unload_lora_adapter":
                    said = engine.unload(asked["lora_name"]).encode()
                elif self.path == "/v1/completions":
                    said = json.dumps(engine.complete(asked)).encode()
                else:
                    return self._say(404, b'{"detail":"Not Found"}')
            except Refused as error:
                body = {"message": str(error), "type": "Error", "param": None, "code": error.code}
                return self._say(error.code, json.dumps({"error": body}).encode())
            return self._say(200, said)

        def _say(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-cpu-loras", type=int, default=4)
    parser.add_argument("--max-lora-rank", type=int, default=16)
    asked = parser.parse_args()
    engine = Engine(asked.model, asked.served_model_name, asked.max_cpu_loras, asked.max_lora_rank)
    serve(asked.port, handler(engine))


if __name__ == "__main__":
    main()
