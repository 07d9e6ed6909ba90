"""Stage, load, verify, commit, switch, restart and go back: files and driver against the real tritonserver."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from flywheel.serving.names import candidate_name
from flywheel.serving.repository import commit, discard, stage
from flywheel.serving.triton import ModelMissingError, TritonPod

from .conftest import MODEL, Adapter, Models, Server

QUESTION = {"code": "x = 3", "review": "finding 3"}
Start = Callable[[], Server]


def answer(pod: TritonPod, model: str) -> tuple[str, str]:
    reply = pod.ask(model, QUESTION)
    return reply.text, reply.served_by


def said(adapter: Adapter) -> tuple[str, str]:
    return json.dumps({"issue_type": adapter.label}, separators=(",", ":")), adapter.digest


def test_rollout_switch_restart_and_back(server: Start, models: Models) -> None:
    first, second = models.adapters["critical"], models.adapters["trivial"]
    one = server()
    with TritonPod(one.address) as pod:
        assert pod.loaded() == []
        with pytest.raises(ModelMissingError):
            pod.ask(MODEL, QUESTION)

        for adapter in (first, second, first):
            before = pod.loaded()
            candidate = candidate_name(MODEL, adapter.digest)
            stage(one.repository, MODEL, candidate, adapter.folder, adapter.digest)
            pod.load(candidate, adapter.digest)
            assert answer(pod, candidate) == said(adapter)
            assert set(pod.loaded()) == {*before, candidate}
            commit(one.repository, MODEL, adapter.folder, adapter.digest)
            pod.load(MODEL, adapter.digest)
            assert answer(pod, MODEL) == said(adapter)
            pod.unload(candidate)
            discard(one.repository, candidate)
            assert pod.revision(MODEL) == adapter.digest
    one.stop()
    one.start()
    with TritonPod(one.address) as pod:
        assert pod.loaded() == [MODEL]
        assert answer(pod, MODEL) == said(first)
