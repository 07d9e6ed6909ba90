"""A model whose process died, on the real server: nobody but an inference notices, and the operator starts it anew."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel.serving.calls import Endpoint
from flywheel.serving.errors import ServingError
from flywheel.serving.names import candidate_name
from flywheel.serving.repository import stage
from flywheel.serving.triton import TritonPod, look

from .bed import QUESTIONS, deployed_on, offer, said
from .server import MODEL, Models, Server


def _kill(server: Server) -> None:
    for process in server.model_processes():
        os.kill(process, signal.SIGKILL)


def _counted(server: Server, name: str) -> float:
    """Sum of a counter of the server's own, over all models."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports['METRICS']}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def test_a_dead_process_is_started_anew_with_the_same_adapter(
    server: Callable[..., Server], models: Models, tmp_path: Path
) -> None:
    one, adapter, other = server(), models.adapters["critical"], models.adapters["trivial"]
    bed = deployed_on(tmp_path, one)
    offer(bed, 1, adapter, expected=adapter.label)
    bed.until_at_rest()
    assert _counted(one, "nv_inference_request_failure") == 0, "looking must not look like failing"

    _kill(one)
    with TritonPod(one.address) as pod:
        assert pod.loaded() == [MODEL]  # as ever, says the server
        with pytest.raises(ServingError):
            pod.ask(MODEL, QUESTIONS[0])
    assert look(Endpoint("triton-0", one.address), MODEL, lambda: None).dead
    bed.until_at_rest()
    with TritonPod(one.address) as pod:
        reply = pod.ask(MODEL, QUESTIONS[0])
    assert (reply.text, reply.served_by) == said(adapter)
    assert [pod.verified for pod in bed.deployment.status.pods] == [True], "asked the probes once more"
    assert sum(line.startswith("ProcessDead") for line in bed.told) == 1

    offer(bed, 2, other, expected=other.label)  # what was sent over the server's head does not hide the disk
    bed.until(lambda deployment: deployment.status.step == "verify")
    _kill(one)  # stable and candidate
    bed.until_at_rest()
    with TritonPod(one.address) as pod:
        assert pod.loaded() == [MODEL]
        reply = pod.ask(MODEL, QUESTIONS[0])
    assert (reply.text, reply.served_by) == said(other)
    assert bed.rejected() == []


def test_a_model_that_refuses_our_question_is_not_taken_for_dead(server: Callable[..., Server], models: Models) -> None:
    """Another's model, that knows no `input`."""
    one, adapter = server(), models.adapters["critical"]
    candidate = candidate_name(MODEL, adapter.digest)
    stage(one.repository, MODEL, candidate, adapter.folder, adapter.digest)
    config = one.repository / candidate / "config.pbtxt"
    config.write_text(config.read_text().replace('"input"', '"prompt"'))
    with TritonPod(one.address) as pod:
        pod.load(candidate, adapter.digest)
        assert not pod.dead(candidate)
