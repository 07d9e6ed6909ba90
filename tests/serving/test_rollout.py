"""The decision, the steps as processes, and the real server together: everything but Kubernetes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import AcceptedStep
from flywheel.api.item import Probe
from flywheel.api.result import MeasureFigures, TrainFigures
from flywheel.loop.naming import run_folder
from flywheel.loop.observed import JobView, PodView
from flywheel.loop.plan import StepJob
from flywheel.serving.calls import CallFailure, Endpoint
from flywheel.serving.drivers import look_at_all, perform
from flywheel.serving.errors import ServingError
from flywheel.serving.observed import DeploymentObserved
from flywheel.serving.planner import decide_deployment
from flywheel.serving.triton import TritonPod
from flywheel.workspace.adapter import adapter_digest
from flywheel.workspace.manifest import Manifest, list_files, seal
from flywheel.workspace.store import Workspace

from .conftest import MODEL, ROOT, Adapter, Models, Server

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
MOST_DECISIONS = 60
QUESTIONS = [{"code": f"x = {place}", "review": f"finding {place}"} for place in range(20)]


def _always() -> None:
    """One operator needs no Lease."""


class AnyServer(Protocol):
    """A server and the volume that it reads."""

    address: str
    repository: Path

    def must_live(self) -> None: ...


@dataclass
class Operator:
    """What the controller does, one reconcile after the other; Jobs are processes that end before the next."""

    server: AnyServer
    workspace: Workspace
    deployment: AdapterDeployment
    runs: tuple[FlywheelRun, ...] = ()
    jobs: list[JobView] = field(default_factory=list[JobView])
    failures: tuple[CallFailure, ...] = ()
    now: datetime = START
    told: list[str] = field(default_factory=list[str])
    pause: float = 0.0  # of the servers' time, which is not the decision's

    def until_at_rest(self) -> None:
        for _ in range(MOST_DECISIONS):
            self.server.must_live()
            endpoints = [Endpoint("triton-0", self.server.address)]
            observed = DeploymentObserved(
                self.deployment,
                self.runs,
                pods=look_at_all(endpoints, self.deployment.spec.target, _always),
                jobs=tuple(self.jobs),
                failures=self.failures,
                repository_path=str(self.server.repository),
            )
            plan = decide_deployment(observed, self.now)
            before, self.deployment = self.deployment, self.deployment.model_copy(update={"status": plan.status})
            self.jobs += [self._process(job) for job in plan.create]
            self.told += [f"{event.reason.value}: {event.message}" for event in plan.events]
            self.failures = perform(plan.calls, self.deployment.spec.target, _always)
            time.sleep(self.pause)
            self.now += timedelta(seconds=plan.requeue_after or 1.0)
            if before.status == plan.status and not plan.create and not plan.calls and plan.status.rollout is None:
                return
        raise AssertionError(f"never comes to rest: {self.deployment.status} {self.told}")

    def _process(self, job: StepJob) -> JobView:
        said = self.workspace.root / f"{job.name}.result"
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "operator"),
            "FLYWHEEL_REQUEST": json.dumps(job.request.to_json_object()),
            "FLYWHEEL_WORKSPACE": str(self.workspace.root),
            "FLYWHEEL_TERMINATION_LOG": str(said),
        }
        program = [sys.executable, "-m", f"flywheel.steps.{job.request.step}"]
        ended = subprocess.run(program, env=environment, check=False)
        message = said.read_text() if said.exists() else ""
        pod = PodView(job.name, job.name, started=True, exit_code=ended.returncode, message=message)
        state = "Failed" if ended.returncode else "Succeeded"
        numbers = (job.request.iteration, job.request.attempt)
        return JobView(job.name, job.name, job.step, *numbers, self.now, state=state, rereads=job.rereads, pod=pod)


def offer(
    operator: Operator, iteration: int, adapter: Adapter, expected: str, prompts: Sequence[list[int] | None] = ()
) -> None:
    """A run whose candidate is this adapter, with probes that expect this label."""
    workspace = operator.workspace
    run = FlywheelRun.model_validate(
        {
            "metadata": {
                "name": "run",
                "namespace": "review",
                "uid": "0123456789",
                "creationTimestamp": START.isoformat(),
            },
            "spec": {
                "curriculumRef": {"name": "c"},
                "student": {"model": {"persistentVolumeClaim": {"claimName": "flywheel", "path": "student"}}},
                "teacher": {"baseURL": "http://teacher/v1", "model": "m", "secretRef": {"name": "s"}},
                "training": {"maxSteps": 1},
                "stop": {},
            },
        }
    )
    home = f"{run_folder(run.metadata)}/iter-{iteration}"
    for file in adapter.folder.iterdir():
        workspace.write_bytes(f"{home}/train/a1/adapter/{file.name}", file.read_bytes())
    probes = [
        Probe(id=str(n), input=question, candidate=expected, prompt=prompt)
        for n, (question, prompt) in enumerate(zip(QUESTIONS, prompts or [None] * len(QUESTIONS), strict=True))
    ]
    workspace.write_jsonl(f"{home}/test/a1/probes.jsonl", [probe.to_json_object() for probe in probes])
    trained = TrainFigures(adapter=adapter.digest, steps=1, first_loss=1, last_loss=1)
    train = _sealed(workspace, f"{home}/train/a1", "train", iteration, trained)
    test = _sealed(workspace, f"{home}/test/a1", "test", iteration, MeasureFigures(step="test", items=1, arms={}))
    candidate = {"iteration": iteration, "digest": adapter.digest, "train": train, "validated": test, "test": test}
    status = {"workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}}, "candidate": candidate}
    operator.runs = (FlywheelRun.model_validate(run.to_json_object() | {"status": status}),)


def _sealed(
    workspace: Workspace, folder: str, step: str, iteration: int, figures: TrainFigures | MeasureFigures
) -> dict[str, object]:
    files = list_files(workspace, folder)
    manifest = Manifest(step=step, owner="run", iteration=iteration, attempt=1, seed=0, files=files, figures=figures)
    return AcceptedStep(name=step, attempt=1, digest=seal(workspace, folder, manifest)).to_json_object()


class Client:
    """Someone who asks the stable model all the time."""

    def __init__(self, address: str) -> None:
        self._address = address
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

    def ask_once_more(self) -> None:
        """Until a question that was put from now on is answered: the first that comes in may be an earlier one."""
        wanted = len(self.answers) + len(self.failures) + 2
        while self._thread.is_alive() and len(self.answers) + len(self.failures) < wanted:
            self._over.wait(0.1)

    def _ask(self) -> None:
        with TritonPod(self._address) as pod:
            while not self._over.wait(0.3):
                try:
                    reply = pod.ask(MODEL, QUESTIONS[0])
                    self.answers.append((reply.text, reply.served_by))
                except ServingError as error:
                    self.failures.append(str(error))


def changed(adapter: Adapter, folder: Path, name: str, change: Callable[[Any], None]) -> Adapter:
    """The same weights under another digest: a JSON file of the adapter is changed."""
    shutil.copytree(adapter.folder, folder)
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    return Adapter(adapter.label, adapter_digest(Workspace(folder.parent), folder.name), folder)


def said(adapter: Adapter) -> tuple[str, str]:
    return json.dumps({"issue_type": adapter.label}, separators=(",", ":")), adapter.digest


def test_good_candidates_serve_bad_ones_never_do(server: Callable[[], Server], models: Models, tmp_path: Path) -> None:
    first, second = models.adapters["critical"], models.adapters["trivial"]
    foreign = changed(
        second, tmp_path / "foreign", "contract.json", lambda contract: contract["base"].update(weights="another")
    )
    unlike = changed(
        second, tmp_path / "unlike", "adapter_config.json", lambda config: config.update(lora_dropout=0.01)
    )
    target = {"serviceRef": {"name": "triton"}, "model": MODEL}
    target |= {"repository": {"persistentVolumeClaim": {"claimName": "models"}}}
    deployment = AdapterDeployment.model_validate(
        {
            "metadata": {"name": "severity", "namespace": "review", "uid": "0123456789", "generation": 1},
            "spec": {"target": {"triton": target}},
        }
    )
    operator = Operator(server(), Workspace(tmp_path / "workspace"), deployment)

    offer(operator, 1, first, expected=first.label)
    operator.until_at_rest()
    assert _serving(operator) == first.digest

    with Client(operator.server.address) as client:
        offer(operator, 2, foreign, expected=second.label)  # made for other weights: cannot be loaded
        operator.until_at_rest()
        offer(operator, 3, unlike, expected="minor")  # answers other than measured
        operator.until_at_rest()
        assert _serving(operator) == first.digest
        assert set(client.answers) == {said(first)}
        assert [entry.digest for entry in operator.deployment.status.rejected] == [foreign.digest, unlike.digest]

        offer(operator, 4, second, expected=second.label)
        operator.until_at_rest()
        assert _serving(operator) == second.digest
        client.ask_once_more()
    assert client.failures == []
    assert list(dict.fromkeys(client.answers)) == [said(first), said(second)]  # never back and forth

    operator.server.stop()
    operator.server.start()
    with TritonPod(operator.server.address) as pod:  # the disk alone says what serves
        assert pod.loaded() == [MODEL]
        reply = pod.ask(MODEL, QUESTIONS[0])
        assert (reply.text, reply.served_by) == said(second)
    assert sorted(path.name for path in operator.server.repository.iterdir() if "tmp" in path.name) == []


def _serving(operator: Operator) -> str:
    status = operator.deployment.status
    assert status.serving is not None
    assert [(pod.revision, pod.verified) for pod in status.pods] == [(status.serving.digest, True)]
    return status.serving.digest
