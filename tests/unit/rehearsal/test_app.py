"""The server: a key is needed, replies look like OpenAI's, and every request is on record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture
def server(module: Load, stock: Path, tmp_path: Path) -> Any:
    record = module("record").Record(tmp_path / "requests.jsonl")
    app = module("app").build(module("teaching").Teacher(stock), record, "key")
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://teacher")


def body(prompt: str, **changes: Any) -> dict[str, Any]:
    return {"model": "rehearsal", "messages": [{"role": "user", "content": prompt}], **changes}


async def ask(server: httpx.AsyncClient, asked: dict[str, Any], key: str = "key") -> httpx.Response:
    return await server.post("/v1/chat/completions", json=asked, headers={"authorization": f"Bearer {key}"})


async def test_a_completion(server: httpx.AsyncClient, prompts: Callable[..., str]) -> None:
    response = await ask(server, body(prompts("exam")))
    assert response.status_code == 200
    choice = response.json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert len(json.loads(choice["message"]["content"])["exam"]) == 5
    assert response.json()["usage"]["completion_tokens"] > 0


async def test_a_long_reply_is_cut_and_says_so(server: httpx.AsyncClient, prompts: Callable[..., str]) -> None:
    response = await ask(server, body(prompts("exam"), max_completion_tokens=20))
    choice = response.json()["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["content"])


@pytest.mark.parametrize("key", ["", "other"])
async def test_the_key_is_checked(server: httpx.AsyncClient, prompts: Callable[..., str], key: str) -> None:
    assert (await ask(server, body(prompts("exam")), key)).status_code == 401
    assert (await server.get("/v1/models")).status_code == 401


@pytest.mark.parametrize(
    ("asked", "status"),
    [(body("x", model="gpt"), 404), (body("Hello!"), 400), ({"model": "rehearsal"}, 400), ({}, 400)],
)
async def test_what_it_cannot_do_it_says(server: httpx.AsyncClient, asked: dict[str, Any], status: int) -> None:
    assert (await ask(server, asked)).status_code == status


async def test_requests_are_on_record(server: httpx.AsyncClient, prompts: Callable[..., str], tmp_path: Path) -> None:
    for asked in (prompts("exam"), prompts("dataset"), prompts("exam")):
        await ask(server, body(asked))
    await ask(server, body(prompts("exam")), key="other")
    record = (await server.get("/requests")).json()
    assert (record["count"], record["duplicates"], record["refused"]) == (3, 1, 1)
    assert record["purposes"] == {"exam": 2, "dataset": 1}
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert [json.loads(line)["digest"] for line in lines] == [entry["digest"] for entry in record["requests"]]
    assert len(lines) == 4


async def test_models_and_health(server: httpx.AsyncClient) -> None:
    models = await server.get("/v1/models", headers={"authorization": "Bearer key"})
    assert [model["id"] for model in models.json()["data"]] == ["rehearsal"]
    assert (await server.get("/healthz")).json() == {"items": 357}
