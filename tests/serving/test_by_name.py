"""The decision, the steps as processes, and DOUBLES of vLLM and NIM with real weights; neither server itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.serving.access import OPEN, Access
from flywheel.serving.errors import LoadFailedError, ServingError
from flywheel.serving.names import adapter_name
from flywheel.serving.openai_server import OpenAiPod
from flywheel.workspace.store import Workspace

from .bed import QUESTIONS, Bed, Service, changed, offer
from .server import MODEL, Adapter, Models, free_port

DOUBLES = Path(__file__).parent / "doubles"
BASE_MODEL = "tiny"
START_SECONDS = 120


@dataclass
class Double:
    """One double and its store."""

    kind: str
    repository: Path
    base: Path
    python: Path
    log: Path
    options: tuple[str, ...] = ()
    access: Access = OPEN
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self.address

    def start(self) -> None:
        command = [self.python, DOUBLES / f"{self.kind}_double.py"]
        environment = {**os.environ, **self.environment, "HF_HUB_OFFLINE": "1"}
        if self.kind == "vllm":
            command += ["--model", self.base, "--served-model-name", BASE_MODEL, "--port", str(self.port)]
        environment |= {
            "NIM_BASE": str(self.base),
            "NIM_SERVED_MODEL_NAME": BASE_MODEL,
            "NIM_PEFT_SOURCE": str(self.repository),
            "NIM_PEFT_REFRESH_INTERVAL": "0.3",
            "NIM_SERVER_PORT": str(self.port),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *self.options], env=environment, stdout=log, stderr=log)
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            self.must_live()
            try:
                self.models()
                return
            except ServingError:
                time.sleep(0.2)
        pytest.fail(f"the double does not answer: {self.log.read_text()[-3000:]}")

    def must_live(self) -> None:
        if self.process is None or self.process.poll() is not None:
            pytest.fail(f"the double is dead: {self.log.read_text()[-3000:]}")

    def models(self) -> set[str]:
        with OpenAiPod(self.address, access=self.access) as pod:
            return set(pod.models())

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)
            self.process = None


Start = Callable[..., Double]


@pytest.fixture
def double(models: Models, ml_python: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts doubles; they are stopped with the test."""
    started: list[Double] = []

    def start(kind: str, *options: str, access: Access = OPEN, environment: Mapping[str, str] | None = None) -> Double:
        store = tmp_path / f"store{len(started)}"
        store.mkdir()
        log = tmp_path / f"log{len(started)}"
        one = Double(kind, store, models.home / "base", ml_python, log, options, access, environment or {})
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()


class Client:
    """Someone who reads the alias and asks it, all the time."""

    def __init__(self, bed: Bed, prompt: Any) -> None:
        (self._address,), self._bed, self._prompt = bed.service.urls(), bed, prompt
        self._over = threading.Event()
        self.answers: list[tuple[str, str]] = []
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with OpenAiPod(self._address) as pod:
            while not self._over.wait(0.1):
                alias = self._bed.deployment.status.alias or "no alias"
                try:
                    request = {"model": alias, "prompt": self._prompt, "temperature": 0, "max_tokens": 32}
                    self.answers.append((alias, pod.complete(request) or ""))
                except ServingError as error:
                    self.failures.append(f"{alias}: {error}")


def bed_of(server: Double, tmp_path: Path) -> Bed:
    target = {
        "serviceRef": {"name": "llm"},
        "model": MODEL,
        "baseModel": BASE_MODEL,
        "store": {"persistentVolumeClaim": {"claimName": "adapters"}},
    }
    target |= {"mountPath": str(server.repository)} if server.kind == "vllm" else {"refresh": "1s"}
    deployment = AdapterDeployment.model_validate(
        {
            "metadata": {"name": "severity", "namespace": "review", "uid": "0123456789", "generation": 1},
            "spec": {"target": {server.kind: target}, "keep": 0},
        }
    )
    return Bed(Service(server), server.repository, Workspace(tmp_path / "workspace"), deployment, pause=0.3)


def prompts_of(models: Models) -> list[list[int]]:
    found = json.loads((models.home / "prompts.json").read_text())
    assert len(found) == len(QUESTIONS)
    return found


def name(adapter: Adapter) -> str:
    return adapter_name(MODEL, adapter.digest)


def said(adapter: Adapter) -> tuple[str, str]:
    return name(adapter), json.dumps({"issue_type": adapter.label}, separators=(",", ":"))


@pytest.mark.parametrize("kind", ["vllm", "nim"])
def test_good_candidates_serve_bad_ones_never_do(kind: str, double: Start, models: Models, tmp_path: Path) -> None:
    first, second = models.adapters["critical"], models.adapters["trivial"]
    unlike = changed(
        second, tmp_path / "unlike", "adapter_config.json", lambda config: config.update(lora_dropout=0.01)
    )
    server = double(kind, *(["--max-cpu-loras", "2"] if kind == "vllm" else []))
    bed, prompts = bed_of(server, tmp_path), prompts_of(models)
    prompt: Any = prompts[0] if kind == "vllm" else text_of(QUESTIONS[0])

    offer(bed, 1, first, first.label, prompts)
    bed.until_at_rest()
    assert bed.deployment.status.alias == name(first)
    with Client(bed, prompt) as client:
        offer(bed, 2, unlike, "minor", prompts)  # answers otherwise than measured
        bed.until_at_rest()
        assert bed.rejected() == [unlike.digest]
        assert set(client.answers) == {said(first)}

        offer(bed, 3, second, second.label, prompts)
        bed.until_at_rest()
        wanted = len(client.answers) + 3
        while len(client.answers) < wanted and not client.failures:
            time.sleep(0.1)
    assert client.failures == []
    assert list(dict.fromkeys(client.answers)) == [said(first), said(second)]  # never back and forth
    bed.until(lambda deployment: deployment.status.stored == [name(second)])  # the one before has drained
    assert [folder.name for folder in server.repository.iterdir()] == [name(second)]
    assert server.models() == {BASE_MODEL, name(second)}

    server.stop()
    server.start()
    bed.until_at_rest()
    assert server.models() == {BASE_MODEL, name(second)}
    assert [(pod.revision) for pod in bed.deployment.status.pods] == [second.digest]


def test_other_teams_nemo_folders_on_the_same_nim_are_never_touched(
    double: Start, models: Models, tmp_path: Path
) -> None:
    """One of them has a name that reads like an adapter's of ours, one begins with our model's name."""
    first, second = models.adapters["critical"], models.adapters["trivial"]
    server, theirs = double("nim"), {"triage", MODEL, f"{MODEL}-x", f"{MODEL}-0123456789ab"}
    for folder in theirs:
        (server.repository / folder).mkdir()
        (server.repository / folder / f"{folder}.nemo").write_bytes(folder.encode())
    before = {path: path.stat().st_mtime_ns for path in server.repository.glob("*/*")}
    bed = bed_of(server, tmp_path)
    for number, adapter in enumerate((first, second), start=1):
        offer(bed, number, adapter, adapter.label, prompts_of(models))
        bed.until_at_rest()
        assert bed.deployment.status.alias == name(adapter)
        assert {BASE_MODEL, name(adapter), *theirs} <= server.models()
    bed.until(lambda deployment: deployment.status.stored == [name(second)])  # the first has drained
    assert {path.name for path in server.repository.iterdir()} == {name(second), *theirs}
    assert {path: path.stat().st_mtime_ns for path in server.repository.glob("*/*.nemo")} == before


def test_an_adapter_of_a_higher_rank_is_refused_with_the_reason(double: Start, models: Models, tmp_path: Path) -> None:
    adapter = models.adapters["critical"]
    server = double("vllm", "--max-lora-rank", "8")
    bed = bed_of(server, tmp_path)
    offer(bed, 1, adapter, adapter.label, prompts_of(models))
    bed.until_at_rest()
    assert bed.deployment.status.alias is None
    assert any("rank 16 is above the server's --max-lora-rank 8" in line for line in bed.told), bed.told
    assert list(server.repository.iterdir()) == []

    with OpenAiPod(server.address) as pod:
        with pytest.raises(LoadFailedError, match="finds no adapter at"):
            pod.load("severity-000000000000", str(tmp_path / "nothing"))
        damaged = changed(adapter, tmp_path / "damaged", "adapter_config.json", lambda config: config.update(r=8))
        weights = damaged.folder / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-10])
        with pytest.raises(LoadFailedError, match="damaged"):
            pod.load("severity-000000000000", str(damaged.folder))
        pod.unload("severity-000000000000")  # what is not there is no error


def text_of(question: dict[str, str]) -> str:
    return f"\n### Code:\n{question['code']}\n\n### Review:\n{question['review']}\n\n### Answer:\n"
