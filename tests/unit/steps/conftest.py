"""A workspace with real findings, steps run as the programs that pods run, and the rehearsal teacher over HTTP."""

from __future__ import annotations

import http.client
import importlib
import io
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy
import pytest
import uvicorn
from crash_points import DyingBucket
from s3_server import ACCESS, Server, fill, show
from safetensors.numpy import save

from flywheel.api.request import StepRequest
from flywheel.api.result import Accuracy, AnswerFigures, MeasureFigures, StepResult, TrainFigures, parse_result
from flywheel.api.workspace import S3
from flywheel.workspace import program
from flywheel.workspace.adapter import adapter_digest
from flywheel.workspace.manifest import Manifest, list_files, seal
from flywheel.workspace.remote import RemoteWorkspace
from flywheel.workspace.staging import Staging
from flywheel.workspace.store import Workspace

ROOT = Path(__file__).parents[3]
SAMPLES = Path(__file__).parents[1] / "rehearsal"
WEAK = "major"
TRAINED = "runs/review/severity-1/iter-2"
MODEL_CONFIG = 'name: "severity"\nbackend: "python"\nmax_batch_size: 0\n'
LABELS = ["critical", "major", "minor", "trivial"]
TASK = {
    "instructions": "Rate the severity of the issue that the review describes.",
    "inputSchema": {
        "type": "object",
        "properties": {"code": {"type": "string"}, "review": {"type": "string"}},
        "required": ["code", "review"],
    },
    "outputSchema": {"type": "object", "properties": {"issue_type": {"enum": LABELS}}, "required": ["issue_type"]},
    "label": {"path": "issue_type", "order": LABELS},
}
WRITABLE = {
    "preflight": ["ledger/review"],
    "exam": ["ledger/review"],
    "evaluate": ["ledger/review"],
    "judge": ["judged/review"],
}
PREPARE: dict[str, Any] = {
    "task": TASK,
    "template": "{{ fields }}",
    "sources": [{"name": "findings", "truth": "Rule", "group": "file", "path": "datasets/findings.jsonl"}],
    "poolsKey": "tests",
    "ratios": {"exam": "0.25", "curriculum": "0.35", "validation": "0.18", "test": "0.18", "probe": "0.04"},
}


@dataclass
class Ran:
    """How a step's program ended."""

    code: int
    result: StepResult
    log: str

    def entry(self, name: str, *parts: str) -> dict[str, Any]:
        """This step's output as another step's input."""
        assert self.code == 0, self.log
        return {"name": name, "path": self.result.path, "digest": self.result.manifest, "parts": list(parts)}


@dataclass
class Bench:
    """A workspace, and how to run steps on it."""

    root: Path
    samples = SAMPLES
    preparing = PREPARE
    stock: Path = SAMPLES / "stock.jsonl"
    teacher: dict[str, Any] | None = None
    port: int = 0
    knobs: Any = None
    stand_in: Any = None
    key: str = "canary-6b0f2c51"

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @property
    def findings(self) -> Path:
        return self.root / "datasets/findings.jsonl"

    def environment(self, step: str, output: str, parameters: dict[str, Any], **more: Any) -> dict[str, str]:
        request = {
            "namespace": "review",
            "owner": "severity",
            "iteration": 1,
            "attempt": 1,
            "seed": 7,
            "output": output,
            "alsoWritable": WRITABLE.get(step, []),
            "parameters": {"step": step, **parameters},
            **more,
        }
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "FLYWHEEL_REQUEST": json.dumps(request),
            "FLYWHEEL_WORKSPACE": str(self.root),
            "FLYWHEEL_TEACHER_API_KEY": self.key,
            "FLYWHEEL_TEACHER_HOSTS": "127.0.0.1",
            **{f"FLYWHEEL_{name}_API_KEY": self.key for name in ("JUDGE", "COMPARED_0")},
            **{f"FLYWHEEL_{name}_HOSTS": "127.0.0.1" for name in ("JUDGE", "COMPARED_0")},
        }

    def run(self, step: str, output: str, parameters: dict[str, Any], **more: Any) -> Ran:
        """Run a step to its end, in this process: as its program does, without the start of an interpreter."""
        message, log = self.root / f"message-{secrets.token_hex(4)}", io.StringIO()
        environment = self.environment(step, output, parameters, **more)
        handler, before = logging.StreamHandler(log), signal.getsignal(signal.SIGTERM)
        root = logging.getLogger()
        root.addHandler(handler)
        logging.getLogger("flywheel").setLevel(logging.INFO)
        try:
            with patch.dict(os.environ, {**environment, "FLYWHEEL_TERMINATION_LOG": str(message)}):
                program.run(getattr(importlib.import_module(f"flywheel.steps.{step}"), step))
        except SystemExit as ended:
            result = parse_result(message.read_text())
            return Ran(int(str(ended.code)), result or StepResult(), log.getvalue())
        finally:
            root.removeHandler(handler)
            signal.signal(signal.SIGTERM, before)
        raise AssertionError("a step's program ends with an exit code")

    def start(self, step: str, output: str, parameters: dict[str, Any], **more: Any) -> subprocess.Popen[str]:
        """Begin a step as a program of its own, to be killed."""
        environment = self.environment(step, output, parameters, **more)
        return subprocess.Popen(
            [sys.executable, "-m", f"flywheel.steps.{step}"],
            env={**environment, "FLYWHEEL_TERMINATION_LOG": str(self.root / "message")},
            stdout=subprocess.DEVNULL,
            text=True,
        )

    def prepare(self, attempt: int = 1, **changes: Any) -> Ran:
        return self.run("prepare", "curricula/review/severity-1", {**PREPARE, **changes}, attempt=attempt)

    def finished(self, folder: str, figures: Any, iteration: int = 1) -> dict[str, Any]:
        """Seal a folder as a step of its own would have, as another step's input."""
        manifest = Manifest(
            step=figures.step,
            owner="severity",
            iteration=iteration,
            attempt=1,
            seed=7,
            files=list_files(self.workspace, folder),
            figures=figures,
        )
        return {"path": folder, "digest": seal(self.workspace, folder, manifest), "parts": []}

    def answered(self, questions: list[dict[str, Any]], iteration: int = 1) -> dict[str, Any]:
        """A student's answers: it knows all labels but WEAK."""
        folder, lines = f"runs/review/severity-1/iter-{iteration}/answer/a1", list[dict[str, Any]]()
        for question in questions:
            truth = question["answer"]["issue_type"]
            lines.append({"id": question["id"], "truth": truth, "label": "minor" if truth == WEAK else truth})
        self.workspace.write_jsonl(f"{folder}/answers.jsonl", lines)
        score = Accuracy(accuracy=0.75, low=0.6, high=0.9)
        sealed = self.finished(folder, AnswerFigures(items=len(lines), score=score), iteration)
        return {"name": "answer", **sealed, "parts": ["answers.jsonl"]}

    def lines(self, ran: Ran, name: str) -> list[dict[str, Any]]:
        """A JSONL file of a step's output."""
        return list(self.workspace.read_jsonl(f"{ran.result.path}/{name}"))

    def turn(self, **shares: float) -> None:
        """Let the rehearsal teacher misbehave from now on."""
        self.knobs.__init__(shares)

    def know(self, items: Path) -> None:
        """Let the rehearsal teacher know the labels of these items."""
        self.stand_in.__init__(SAMPLES / "stock.jsonl", items)

    def asked(self) -> dict[str, Any]:
        """What the rehearsal teacher was asked so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/requests")
        return json.load(connection.getresponse())


@dataclass
class BucketBench(Bench):
    """A bench whose workspace is in a bucket. `root` shows what the bucket holds, before and after each step."""

    server: Server | None = None
    place: S3 | None = None

    def run(self, step: str, output: str, parameters: dict[str, Any], **more: Any) -> Ran:
        """In a pod of its own: an empty folder, filled and emptied by a sidecar."""
        assert self.server is not None and self.place is not None
        objects, bucket = self.server.files(self.place), DyingBucket(self.place, ACCESS)
        fill(objects, self.root)

        def workspace(request: StepRequest) -> Workspace:
            return RemoteWorkspace(pod, request, Staging(request, Workspace(pod), bucket).do)

        with TemporaryDirectory() as pod, patch.object(program, "_workspace", workspace):
            try:
                return super().run(step, output, parameters, **more)
            finally:
                show(objects, self.root)


class Shop:
    """A trained adapter, its test, and a server's repository."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.repository = bench.root / "models"
        workspace, folder = bench.workspace, f"{TRAINED}/train/a1/adapter"
        workspace.write_json(
            f"{folder}/adapter_config.json",
            {"peft_type": "LORA", "base_model_name_or_path": "student", "task_type": "CAUSAL_LM", "r": 2},
        )
        workspace.write_json(f"{folder}/contract.json", {"version": 1})
        weights = {"q.lora_A.weight": numpy.ones((2, 4), numpy.float32)}
        workspace.write_bytes(f"{folder}/adapter_model.safetensors", save(weights))
        self.digest = adapter_digest(workspace, folder)
        workspace.write_jsonl(f"{TRAINED}/train/a1/curve.jsonl", [{"step": 1}])
        trained = TrainFigures(adapter=self.digest, steps=3, first_loss=2, last_loss=1, steps_per_second=1)
        self.inputs = [{"name": "adapter", **bench.finished(f"{TRAINED}/train/a1", trained), "parts": ["adapter"]}]
        workspace.write_jsonl(f"{TRAINED}/test/a1/probes.jsonl", [{"id": "1", "input": {}, "candidate": "major"}])
        arm = Accuracy(accuracy=0.8, low=0.7, high=0.9)
        tested = MeasureFigures(step="test", items=60, arms={"candidate": arm}, probes=1)
        self.inputs.append({"name": "measured", **bench.finished(f"{TRAINED}/test/a1", tested)})
        (self.repository / "severity/1").mkdir(parents=True)
        (self.repository / "severity/config.pbtxt").write_text(MODEL_CONFIG)
        (self.repository / "severity/1/model.py").write_text("")

    @property
    def folder(self) -> Path:
        return self.bench.root / f"adapters/review/{self.digest.replace(':', '-')}"

    def publish(self, phase: str = "stage", attempt: int = 1, owner: str = "severity", **changes: Any) -> Any:
        parameters = {
            "phase": phase,
            "adapterDigest": self.digest,
            "repositoryPath": str(self.repository),
            "model": "severity",
            "candidateModel": "severity-cand-12345678",
            "run": "severity",
            "runIteration": 2,
            **changes,
        }
        return self.bench.run(
            "publish", "adapters/review", parameters, inputs=self.inputs, attempt=attempt, owner=owner
        )


@pytest.fixture
def bench_kind() -> type[Bench]:
    """For tests that put other data on it."""
    return Bench


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """A bench on a volume; with ON_BOTH one in a bucket, too."""
    (tmp_path / "datasets").mkdir()
    shutil.copy(SAMPLES / "findings.jsonl", tmp_path / "datasets/findings.jsonl")
    if getattr(request, "param", "volume") == "volume":
        return Bench(tmp_path)
    server: Server = request.getfixturevalue("s3")
    return BucketBench(tmp_path, server=server, place=server.place())


@pytest.fixture
def taught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench with a rehearsal teacher of its own, that has no item of the workspace."""
    monkeypatch.syspath_prepend(ROOT / "examples/rehearsal-teacher")
    app, teaching, record = (importlib.import_module(name) for name in ("app", "teaching", "record"))
    bench.knobs = importlib.import_module("knobs").Knobs()
    bench.stand_in = teaching.Teacher(bench.stock)
    made = app.build(bench.stand_in, record.Record(bench.root / "requests.jsonl"), bench.key, bench.knobs)
    server = uvicorn.Server(uvicorn.Config(made, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        bench.port = server.servers[0].sockets[0].getsockname()[1]
        bench.teacher = {"baseUrl": f"http://127.0.0.1:{bench.port}/v1", "model": "rehearsal"}
        yield bench
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def shop(bench: Bench) -> Shop:
    return Shop(bench)
