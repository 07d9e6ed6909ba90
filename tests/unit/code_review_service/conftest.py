"""The service's own modules (it is an example, no part of the package), and a double of Triton's infer call."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/code-review-service"
DIGEST = "sha256:" + "a" * 64
Load = Callable[[str], ModuleType]


@pytest.fixture(scope="session")
def module() -> Iterator[Load]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        yield importlib.import_module


@dataclass
class Triton:
    """Says of each finding what its review says, or what the test wants to happen."""

    happens: list[int | type[Exception]] = field(default_factory=list[int | type[Exception]])
    asked: list[Any] = field(default_factory=list[Any])

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/v2/models/severity/infer"
        (tensor,) = json.loads(request.content)["inputs"]
        assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("input", "BYTES", [1, 1])
        self.asked.append(json.loads(tensor["data"][0]))
        happens = self.happens.pop(0) if self.happens else 200
        if not isinstance(happens, int):
            raise happens("as the test wants")
        said = self.asked[-1]["review"]
        outputs = {"output": said, "served_by": DIGEST}
        body = {"outputs": [{"name": name, "datatype": "BYTES", "data": [text]} for name, text in outputs.items()]}
        return httpx2.Response(happens, json=body if happens == 200 else {"error": "secret text"})


@dataclass
class Product:
    """A running service: how to ask it, what it wrote, and what its model was asked."""

    client: httpx.AsyncClient
    triton: Triton
    log: Path
    draws: list[float]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


Start = Callable[..., Product]


@pytest.fixture
def start(module: Load, tmp_path: Path) -> Iterator[Start]:
    logs: list[Any] = []

    def begin(**settings: Any) -> Product:
        while logs:
            logs.pop().close()
        given = {"triton_url": "http://triton:8000", "log_folder": tmp_path, **settings}
        triton, draws = Triton(), list[float]()
        served = module("served").ServedModel(given["triton_url"], "severity", httpx2.MockTransport(triton))
        logs.append(module("request_log").RequestLog(tmp_path))
        chosen = module("service_settings").Settings(**given)
        service = module("reviewing").Service(chosen, served, logs[0], draw=lambda: draws.pop(0) if draws else 0.5)
        transport = httpx.ASGITransport(app=module("service").build(service))
        client = httpx.AsyncClient(transport=transport, base_url="http://service")
        return Product(client, triton, tmp_path / "requests.jsonl", draws)

    yield begin
    while logs:
        logs.pop().close()


def said(label: str, **more: str) -> dict[str, Any]:
    """A finding that the double rates so."""
    return {"code": f"x = 1  # {label}", "review": json.dumps({"issue_type": label, **more})}


@pytest.fixture
def finding() -> Callable[..., dict[str, Any]]:
    return said
