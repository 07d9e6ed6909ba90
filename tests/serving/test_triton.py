"""What the server and the driver say when something is wrong, with the real tritonserver."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from flywheel.api.target import BASE
from flywheel.serving.calls import Endpoint
from flywheel.serving.errors import LoadFailedError, ModelMissingError, ServingError
from flywheel.serving.names import candidate_name
from flywheel.serving.repository import ADAPTERS, commit, stage
from flywheel.serving.triton import TritonPod, look
from flywheel.serving.triton_metrics import with_counts

from .server import MODEL, Models, Server, free_port

QUESTION = {"code": "x = 3", "review": "finding 3"}


def test_nothing_but_the_adapter_named_on_disk_is_served(server: Callable[..., Server], models: Models) -> None:
    one, adapter, other = server(), models.adapters["critical"], models.adapters["trivial"]
    candidate = candidate_name(MODEL, adapter.digest)
    with TritonPod(one.address) as pod:
        assert pod.loaded() == []
        with pytest.raises(ModelMissingError):
            pod.ask(MODEL, QUESTION)

        stage(one.repository, MODEL, candidate, adapter.folder, adapter.digest)
        weights = one.repository / ADAPTERS / adapter.digest.replace(":", "-") / "adapter_model.safetensors"
        weights.write_bytes((other.folder / weights.name).read_bytes())
        with pytest.raises(LoadFailedError, match="not what its digest says"):
            pod.load(candidate, adapter.digest)
        assert pod.loaded() == []

        commit(one.repository, MODEL, adapter.folder, adapter.digest)  # brings the right weights again
        with pytest.raises(LoadFailedError, match="another adapter"):
            pod.load(MODEL, other.digest)
        with pytest.raises(ServingError):
            pod.ask(MODEL, {"code": "no review"})
        with pytest.raises(ServingError):
            pod.ask(MODEL, QUESTION | {"code": "x" * 5000})
        assert pod.ask(MODEL, QUESTION).served_by == adapter.digest
    view = look(Endpoint("triton-0", one.address), MODEL, lambda: None)
    assert (view.revision, dict(view.candidates), view.error) == (adapter.digest, {}, "")
    count = with_counts([view], one.ports["METRICS"], MODEL)[0].count
    assert count is not None
    assert (count.answered, count.failed) == (4, 0), "what the model refuses is answered, too, to Triton; and one look"
    assert count.microseconds > 0


def test_questions_that_wait_are_answered_in_one_pass_each_as_if_alone(
    server: Callable[[], Server], models: Models
) -> None:
    one, adapter = server(), models.adapters["critical"]
    commit(one.repository, MODEL, adapter.folder, adapter.digest)
    questions = [QUESTION | {"code": f"x = {place}"} for place in range(40)]
    with TritonPod(one.address) as pod:
        pod.load(MODEL, adapter.digest)
        alone = [pod.ask(MODEL, question).text for question in questions]
    texts = [json.dumps(question) for question in questions[:32]]
    tensor = {"name": "input", "shape": [len(texts), 1], "datatype": "BYTES", "data": texts}
    reply = httpx.post(f"{one.url}/v2/models/{MODEL}/infer", json={"inputs": [tensor]}, timeout=60)
    outputs = {entry["name"]: entry["data"] for entry in reply.json()["outputs"]}
    assert outputs["output"] == alone[:32] and outputs["served_by"] == [adapter.digest] * 32
    with ThreadPoolExecutor(len(questions)) as many, TritonPod(one.address) as pod:
        together = list(many.map(lambda question: pod.ask(MODEL, question).text, questions))
    assert together == alone
    metrics = httpx.get(f"http://127.0.0.1:{one.ports['METRICS']}/metrics").text
    passes = next(line for line in metrics.splitlines() if line.startswith("nv_inference_exec_count{"))
    assert int(passes.split()[-1]) < 40 + 1 + 40, "some were asked together"


def test_the_bare_student_serves_where_the_disk_says_so(server: Callable[[], Server], models: Models) -> None:
    one, adapter = server(), models.adapters["critical"]
    commit(one.repository, MODEL, adapter.folder, adapter.digest)
    with TritonPod(one.address) as pod:
        pod.load(MODEL, adapter.digest)
        with_adapter = pod.ask(MODEL, QUESTION)
        commit(one.repository, MODEL, adapter.folder, adapter.digest, bare=True)
        pod.load(MODEL, BASE)
        bare = pod.ask(MODEL, QUESTION)
        assert (with_adapter.served_by, bare.served_by) == (adapter.digest, BASE)
        assert bare.text != with_adapter.text
        commit(one.repository, MODEL, adapter.folder, adapter.digest)
        pod.load(MODEL, adapter.digest)
        assert pod.ask(MODEL, QUESTION) == with_adapter


def test_a_silent_pod_is_said() -> None:
    view = look(Endpoint("triton-0", f"127.0.0.1:{free_port()}"), MODEL, lambda: None)
    assert view.revision is None
    assert "cannot be reached" in view.error
