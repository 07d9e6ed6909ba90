"""Rollouts on a real tritonserver whose backend `vllm` is a DOUBLE with real weights; vLLM itself is not here."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.api.item import Probe
from flywheel.data.tokens import Contract
from flywheel.serving.asking import asking
from flywheel.serving.calls import Endpoint
from flywheel.serving.errors import LoadFailedError, ModelMissingError, ServingError
from flywheel.serving.triton import TritonPod, look

from .bed import QUESTIONS, deployed_on, foreign, offer
from .server import MODEL, Adapter, Models, Server

DOUBLES = Path(__file__).parent / "doubles"
CONFIG = f"""name: "{MODEL}"
backend: "vllm"
max_batch_size: 0
model_transaction_policy {{ decoupled: true }}
input {{ name: "text_input" data_type: TYPE_STRING dims: [ 1 ] }}
input {{ name: "sampling_parameters" data_type: TYPE_STRING dims: [ 1 ] optional: true }}
input {{ name: "exclude_input_in_output" data_type: TYPE_BOOL dims: [ 1 ] optional: true }}
input {{ name: "return_finish_reason" data_type: TYPE_BOOL dims: [ 1 ] optional: true }}
output {{ name: "text_output" data_type: TYPE_STRING dims: [ -1 ] }}
output {{ name: "finish_reason" data_type: TYPE_STRING dims: [ -1 ] }}
instance_group {{ count: 1 kind: KIND_CPU }}
"""


@pytest.fixture
def server(models: Models, triton: Path, ml_python: Path, tmp_path: Path) -> Iterator[Server]:
    """One, with what a person puts into its repository."""
    installed = tmp_path / "triton/pytriton/tritonserver"
    shutil.copytree(triton / "backends", installed / "backends")
    (installed / "bin").symlink_to(triton / "bin")
    (tmp_path / "triton/nvidia_pytriton.libs").symlink_to(triton.parents[1] / "nvidia_pytriton.libs")
    (installed / "backends/vllm").mkdir()
    shutil.copy(DOUBLES / "triton_vllm/model.py", installed / "backends/vllm")
    version = tmp_path / "repository" / MODEL / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    settings = {"model": str(models.home / "base"), "enable_lora": "true", "max_lora_rank": 16}
    (version / "model.json").write_text(json.dumps(settings))
    one = Server(tmp_path / "repository", models.home / "base", installed, ml_python, tmp_path / "log")
    one.environment = {"VLLM_DOUBLE": str(DOUBLES)}
    one.start()
    yield one
    one.stop()


def said(pod: TritonPod, adapter: Adapter, model: str = MODEL) -> tuple[str | None, str | None]:
    """As verify asks it."""
    contract = Contract.model_validate_json((adapter.folder / "contract.json").read_bytes())
    with asking("triton", pod.address, contract) as asker:
        answer = asker.ask(model, Probe(id="0", input=QUESTIONS[0], candidate=""))
    return answer.label, answer.served_by


def test_rollouts_by_a_multi_lora_json(server: Server, models: Models, tmp_path: Path) -> None:
    critical, trivial = models.adapters["critical"], models.adapters["trivial"]
    more: dict[str, Any] = {"backend": "Vllm", "mount_path": str(server.repository)}
    bed = deployed_on(tmp_path, server, **more)
    with TritonPod(server.address) as pod:
        with pytest.raises(LoadFailedError):
            pod.load(MODEL, critical.digest)  # no multi_lora.json yet
        with pytest.raises(ModelMissingError):
            pod.ask_vllm(MODEL, "?", {})
        offer(bed, 1, critical, critical.label)
        bed.until_at_rest()
        assert said(pod, critical) == (critical.label, critical.digest)
        with pytest.raises(ServingError):
            pod.ask_vllm(MODEL, "?", {"lora_name": "another"})

        offer(bed, 2, trivial, "minor")  # answers otherwise than it was measured
        bed.until_at_rest()
        assert bed.rejected() == [trivial.digest]
        assert said(pod, critical) == (critical.label, critical.digest)

        unlike = foreign(trivial, tmp_path / "unlike")  # vLLM does not compare contracts, and it answers as measured
        offer(bed, 3, unlike, trivial.label)
        bed.until_at_rest()
        assert said(pod, trivial) == (trivial.label, unlike.digest)
        assert pod.loaded() == [MODEL]
        assert look(Endpoint("triton-0", server.address), MODEL, lambda: None).revision == unlike.digest

        bed.edit(pin=critical.digest)
        bed.until_at_rest()
        assert said(pod, critical) == (critical.label, critical.digest)

    versions = sorted(path.name for path in (server.repository / MODEL).iterdir() if path.is_dir())
    assert versions == ["1", "3", "4"], "a person's, the one before, and the one that serves"
    server.stop()
    server.start()  # the disk alone says what serves
    with TritonPod(server.address) as pod:
        assert said(pod, critical) == (critical.label, critical.digest)
        assert not pod.dead(MODEL)
        for process in server.model_processes():
            os.kill(process, signal.SIGKILL)
        assert pod.dead(MODEL)
        bed.until_at_rest()  # is started anew
        assert said(pod, critical) == (critical.label, critical.digest)
