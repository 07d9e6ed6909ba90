"""The code-review service asks the real tritonserver: what it shows, and what it says while nothing serves."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from flywheel.serving.names import candidate_name
from flywheel.serving.repository import commit, stage
from flywheel.serving.triton import TritonPod

from .server import MODEL, ROOT, Models, Server

FINDINGS = [{"code": "x = 3", "review": "finding 3"}, {"code": "x" * 5000, "review": "longer than the model's context"}]
NAMES = ("request_log", "reviewing", "served", "service", "service_settings")


def product(server: Server, folder: Path) -> TestClient:
    """The service as it starts in its pod, pointed at this server."""
    request_log, reviewing, served, service, settings = (importlib.import_module(name) for name in NAMES)
    url = f"http://127.0.0.1:{server.ports['HTTP']}"
    chosen = settings.Settings.read({"TRITON_URL": url, "LOG_FOLDER": str(folder), "MODEL_NAME": MODEL})
    model = served.ServedModel(chosen.triton_url, chosen.model_name)
    return TestClient(service.build(reviewing.Service(chosen, model, request_log.RequestLog(folder))))


def review(client: TestClient) -> Any:
    return client.post("/reviews", json={"repository": "shop", "findings": FINDINGS})


def test_the_service_rates_by_the_served_adapter(
    server: Callable[[], Server], models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples/code-review-service")
    one, adapter = server(), models.adapters["critical"]
    client = product(one, tmp_path)
    before = review(client)
    assert before.status_code == 503 and "has an AdapterDeployment rolled an adapter out?" in before.json()["detail"]

    stage(one.repository, MODEL, candidate_name(MODEL, adapter.digest), adapter.folder, adapter.digest)
    commit(one.repository, MODEL, adapter.folder, adapter.digest)
    with TritonPod(one.address) as pod:
        pod.load(MODEL, adapter.digest)
    shown = review(client).json()["findings"]
    assert [each["severity"] for each in shown] == ["critical", "not rated"]
    assert client.post(f"/findings/{shown[0]['id']}/feedback", json={"verdict": "accepted"}).status_code == 201
    lines = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert [line["servedBy"] for line in lines] == [adapter.digest, None, adapter.digest]

    one.stop()
    away = review(client)
    assert away.status_code == 503 and "cannot be reached" in away.json()["detail"]
