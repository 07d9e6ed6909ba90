"""The step fetch with the real huggingface_hub, against a server that speaks as much of a hub's protocol as it asks."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from mlbed import STUDENT, Bed

from flywheel.api.result import FetchFigures
from flywheel.workspace.manifest import read_manifest

REPO, COMMIT, TOKEN = "org/student", "c" * 40, "hf_very_secret"
FOLDER = f"models/test/org--student--{COMMIT}"
WANTED = ["config.json", "generation_config.json", "model.safetensors", "special_tokens_map.json"]
WANTED += ["tokenizer.json", "tokenizer_config.json"]


@dataclass
class Hub:
    """Files of one repository at one commit, and what was asked."""

    files: dict[str, bytes]
    endpoint: str = ""
    asked: list[str] = field(default_factory=list[str])
    status: int = 200
    lies: bool = False

    def info(self) -> dict[str, Any]:
        return {"id": REPO, "sha": COMMIT, "siblings": [self.sibling(name) for name in self.files]}

    def sibling(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"rfilename": name, "size": len(self.files[name]), "blobId": "b"}
        if name.endswith(".safetensors"):
            digest = "0" * 64 if self.lies else self.digest(name)
            entry["lfs"] = {"sha256": digest, "size": entry["size"], "pointerSize": 100}
        return entry

    def digest(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub({path.name: path.read_bytes() for path in STUDENT.iterdir() if path.is_file()})
    hub.files |= {"pytorch_model.bin": b"pickle", "modeling.py": b"import os", "original/model.safetensors": b"x"}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            if self.headers["authorization"] != f"Bearer {TOKEN}":
                return self.answer(401, b"", **{"X-Error-Code": "RepoNotFound"})
            if hub.status != 200:
                return self.answer(hub.status, b"")
            path = self.path.partition("?")[0]
            if path.startswith(f"/api/models/{REPO}/revision/"):
                if not path.endswith(COMMIT):
                    return self.answer(404, b"", **{"X-Error-Code": "RevisionNotFound"})
                return self.answer(200, json.dumps(hub.info()).encode())
            name = path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")
            return self.answer(200, hub.files[name], etag=f'"{hub.digest(name)}"', **{"X-Repo-Commit": COMMIT})

        def answer(self, status: int, content: bytes, **headers: str) -> None:
            self.send_response(status)
            for key, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("FLYWHEEL_HUB_TOKEN", f"{TOKEN}\n")
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def bed(tmp_path: Any) -> Bed:
    return Bed(tmp_path)


def fetch(bed: Bed, attempt: int = 1, **changes: str) -> tuple[int, Any, str]:
    output = f"runs/test/r/iter-0/fetch/a{attempt}"
    parameters = {"step": "fetch", "repo": REPO, "revision": COMMIT, "folder": FOLDER} | changes
    process = bed.start("flywheel_student.fetch", output, parameters, [])
    log, _ = process.communicate()
    return process.returncode, bed.result(output), log


def test_a_model_is_fetched_once_without_pickles_and_programs(bed: Bed, hub: Hub) -> None:
    code, result, log = fetch(bed)
    assert code == 0, log
    assert bed.workspace.files(FOLDER) == [*sorted([*WANTED, "manifest.json"])]
    for name in WANTED:
        assert bed.workspace.read_bytes(f"{FOLDER}/{name}") == hub.files[name]
    manifest, digest = read_manifest(bed.workspace, FOLDER)
    assert isinstance(result.figures, FetchFigures) and result.figures.model == digest
    assert (result.figures.files, result.figures.size) == (len(WANTED), sum(len(hub.files[name]) for name in WANTED))
    assert sorted(file.path for file in manifest.files) == WANTED
    assert bed.workspace.folders("models/test") == [FOLDER], "nothing is left beside it"
    assert TOKEN not in log
    hub.asked.clear()
    code, again, _ = fetch(bed, 2)
    assert (code, again.figures) == (0, result.figures) and hub.asked == []


@pytest.mark.parametrize(
    ("changes", "token", "status", "code", "reason", "words"),
    [
        ({}, "wrong", 200, 75, "HubToken", "hubToken"),
        ({}, TOKEN, 403, 75, "HubToken", "refuses the token"),
        ({}, TOKEN, 503, 75, "HubUnavailable", "asked again"),
        ({"revision": "d" * 40}, TOKEN, 200, 64, "BadInput", "has no commit dddddddddddd"),
    ],
)
def test_what_the_hub_refuses_is_said(
    bed: Bed, hub: Hub, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], token: str, status: int, code: int,
    reason: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("FLYWHEEL_HUB_TOKEN", token)
    hub.status = status
    ended, result, log = fetch(bed, **changes)
    assert (ended, result.error.reason) == (code, reason), log
    assert words in result.error.message and token not in result.error.message
    assert not bed.workspace.exists(FOLDER)


def test_a_hub_that_is_away_is_tried_later(bed: Bed, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, result, _ = fetch(bed)
    assert (code, result.error.reason) == (75, "HubUnavailable")


def test_weights_that_are_not_what_the_hub_says_are_no_model(bed: Bed, hub: Hub) -> None:
    hub.lies = True
    code, result, _ = fetch(bed)
    assert (code, result.error.reason) == (75, "HubUnavailable")
    assert "not what the hub says" in result.error.message and not bed.workspace.exists(FOLDER)
    hub.lies = False
    hub.asked.clear()
    assert fetch(bed, 2)[0] == 0
    downloaded = [line for line in hub.asked if line.startswith("GET") and "/resolve/" in line]
    assert downloaded == [f"GET /{REPO}/resolve/{COMMIT}/model.safetensors"], "what was whole is not downloaded again"


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_repository_without_a_model_is_bad_input(bed: Bed, hub: Hub, missing: str) -> None:
    del hub.files[missing]
    code, result, _ = fetch(bed)
    assert (code, result.error.reason) == (64, "BadInput")
    assert "in the format of Hugging Face" in result.error.message
