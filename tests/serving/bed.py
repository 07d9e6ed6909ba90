"""The decision, the steps as processes, and real servers together: all but Kubernetes, which Bed stands in for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
from flywheel.serving.access import OPEN, Access
from flywheel.serving.calls import Call, CallFailure, Endpoint
from flywheel.serving.drivers import look_at_all, perform
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.planner import decide_deployment
from flywheel.workspace.adapter import adapter_digest
from flywheel.workspace.manifest import Manifest, list_files, seal
from flywheel.workspace.store import Workspace

from .server import MODEL, ROOT, Adapter, Server

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
MOST_DECISIONS = 80
QUESTIONS = [{"code": f"x = {place}", "review": f"finding {place}"} for place in range(20)]


def _always() -> None:
    """One operator needs no Lease."""


class AnyServer(Protocol):
    """A server, or a double of one, and the volume that it reads."""

    repository: Path

    @property
    def address(self) -> str: ...

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def must_live(self) -> None: ...


class Service:
    """The endpoints: what the operator looks at, and where clients go."""

    def __init__(self, *servers: AnyServer) -> None:
        self.servers = {f"triton-{number}": server for number, server in enumerate(servers)}
        self._ready = dict(self.servers)

    def endpoints(self) -> list[Endpoint]:
        """Of ready pods."""
        return [Endpoint(name, server.address) for name, server in self._ready.items()]

    def urls(self) -> list[str]:
        """Of ready pods, for clients."""
        return [server.url for server in self._ready.values()]

    def remove(self, name: str) -> None:
        """As for a pod that is being deleted: no longer an endpoint, and then SIGTERM."""
        self._ready = {other: server for other, server in self._ready.items() if other != name}
        self.servers[name].stop()

    def add(self, name: str) -> None:
        """The pod again, once it is ready."""
        self.servers[name].start()
        self._ready = self._ready | {name: self.servers[name]}

    def must_live(self) -> None:
        """No server died by itself."""
        for server in self.servers.values():
            server.must_live()


@dataclass
class Bed:
    """What outlives an operator: resources, Jobs (processes that end at once), and a clock that waits for nothing."""

    service: Service
    repository: Path
    workspace: Workspace
    deployment: AdapterDeployment
    runs: tuple[FlywheelRun, ...] = ()
    jobs: list[JobView] = field(default_factory=list[JobView])
    now: datetime = START
    told: list[str] = field(default_factory=list[str])
    pause: float = 0.0  # of the servers' time, which is not the decision's
    access: Access = OPEN
    environment: Mapping[str, str] = field(default_factory=dict[str, str])  # of steps, from Secrets
    verified_at: dict[str, float] = field(default_factory=dict[str, float])
    _failures: tuple[CallFailure, ...] = ()
    _cut: set[tuple[Call, ...]] = field(default_factory=set[tuple[Call, ...]])

    def until(self, holds: Callable[[AdapterDeployment], bool]) -> None:
        """One reconcile after the other, until that holds."""
        for _ in range(MOST_DECISIONS):
            self._reconcile()
            if holds(self.deployment):
                return
        raise AssertionError(f"never comes to it: {self.deployment.status} {self.told}")

    def until_at_rest(self, *, killed: bool = False) -> None:
        """Until nothing is left to do. `killed`: each time calls are asked for, that operator dies before them."""
        for _ in range(MOST_DECISIONS):
            before = self.deployment.status
            plan = self._reconcile(killed=killed)
            if before == plan.status and not plan.create and not plan.calls and plan.status.rollout is None:
                return
        raise AssertionError(f"never comes to rest: {self.deployment.status} {self.told}")

    def edit(self, **spec: object) -> None:
        """Somebody commits another spec; a field that is None goes."""
        value = self.deployment.to_json_object()
        value["spec"] = {name: entry for name, entry in (value["spec"] | spec).items() if entry is not None}
        value["metadata"] |= {"generation": value["metadata"]["generation"] + 1}
        self.deployment = AdapterDeployment.model_validate(value)

    def rejected(self) -> list[str]:
        """Digests."""
        return [entry.digest for entry in self.deployment.status.rejected]

    def _reconcile(self, *, killed: bool = False) -> DeploymentPlan:
        self.service.must_live()
        observed = DeploymentObserved(
            self.deployment,
            self.runs,
            pods=look_at_all(self.service.endpoints(), self.deployment.spec.target, _always, self.access),
            jobs=tuple(self.jobs),
            failures=self._failures,
            repository_path=str(self.repository),
        )
        plan = decide_deployment(observed, self.now)
        # What the next operator knows is what the API server stored.
        stored = self.deployment.model_copy(update={"status": plan.status}).to_json_object()
        self.deployment = AdapterDeployment.model_validate(stored)
        self.jobs += [self._process(job) for job in plan.create]
        self.told += [f"{event.reason.value}: {event.message}" for event in plan.events]
        rollout = plan.status.rollout
        if rollout is not None and rollout.verified:
            self.verified_at.setdefault(rollout.digest, time.monotonic())
        self.now += timedelta(seconds=plan.requeue_after or 1.0)
        self._failures = ()
        if killed and plan.calls and plan.calls not in self._cut:
            self._cut.add(plan.calls)
        else:
            self._failures = perform(plan.calls, self.deployment.spec.target, _always, self.access)
            time.sleep(self.pause)
        return plan

    def _process(self, job: StepJob) -> JobView:
        said = self.workspace.root / f"{job.name}.result"
        environment = {**os.environ, **self.environment} | {
            "PYTHONPATH": str(ROOT / "operator"),
            "FLYWHEEL_REQUEST": json.dumps(job.request.to_json_object()),
            "FLYWHEEL_WORKSPACE": str(self.workspace.root),
            "FLYWHEEL_TERMINATION_LOG": str(said),
        }
        program = [sys.executable, "-m", f"flywheel.steps.{job.request.step}"]
        ended = subprocess.run(program, env=environment, stdout=2, check=False)  # tables go to stdout
        message = said.read_text() if said.exists() else ""
        pod = PodView(job.name, job.name, started=True, exit_code=ended.returncode, message=message)
        state = "Failed" if ended.returncode else "Succeeded"
        numbers = (job.request.iteration, job.request.attempt)
        return JobView(job.name, job.name, job.step, *numbers, self.now, state=state, rereads=job.rereads, pod=pod)


def deployed_on(folder: Path, *servers: Server, model: str = MODEL, **more: object) -> Bed:
    """An AdapterDeployment whose target is these servers, which share a repository."""
    target: dict[str, object] = {"serviceRef": {"name": "triton"}, "model": model, **more}
    target |= {"repository": {"persistentVolumeClaim": {"claimName": "models"}}}
    deployment = AdapterDeployment.model_validate(
        {
            "metadata": {"name": model, "namespace": "review", "uid": f"0123456789-{model}", "generation": 1},
            "spec": {"target": {"triton": target}},
        }
    )
    return Bed(Service(*servers), servers[0].repository, Workspace(folder / "workspace"), deployment)


def offer(bed: Bed, number: int, adapter: Adapter, expected: str, prompts: Sequence[list[int] | None] = ()) -> None:
    """A newer run whose candidate is this adapter, with probes that expect this label."""
    workspace = bed.workspace
    run = FlywheelRun.model_validate(
        {
            "metadata": {
                "name": f"run-{number}",
                "namespace": "review",
                "uid": f"{number:010}",
                "creationTimestamp": (START + timedelta(days=number)).isoformat(),
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
    home = f"{run_folder(run.metadata)}/iter-1"
    for file in adapter.folder.iterdir():
        workspace.write_bytes(f"{home}/train/a1/adapter/{file.name}", file.read_bytes())
    probes = [
        Probe(id=str(n), input=question, candidate=expected, prompt=prompt)
        for n, (question, prompt) in enumerate(zip(QUESTIONS, prompts or [None] * len(QUESTIONS), strict=True))
    ]
    workspace.write_jsonl(f"{home}/test/a1/probes.jsonl", [probe.to_json_object() for probe in probes])
    trained = TrainFigures(adapter=adapter.digest, steps=1, first_loss=1, last_loss=1)
    train = _sealed(workspace, f"{home}/train/a1", "train", trained)
    test = _sealed(workspace, f"{home}/test/a1", "test", MeasureFigures(step="test", items=1, arms={}))
    candidate = {"iteration": 1, "digest": adapter.digest, "train": train, "validated": test, "test": test}
    status = {"workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}}, "candidate": candidate}
    bed.runs = (FlywheelRun.model_validate(run.to_json_object() | {"status": status}),)


def _sealed(workspace: Workspace, folder: str, step: str, figures: TrainFigures | MeasureFigures) -> dict[str, object]:
    files = list_files(workspace, folder)
    manifest = Manifest(step=step, owner="run", iteration=1, attempt=1, seed=0, files=files, figures=figures)
    return AcceptedStep(name=step, attempt=1, digest=seal(workspace, folder, manifest)).to_json_object()


def changed(adapter: Adapter, folder: Path, name: str, change: Callable[[Any], None]) -> Adapter:
    """The same weights under another digest: a JSON file of the adapter is changed."""
    shutil.copytree(adapter.folder, folder)
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    return Adapter(adapter.label, adapter_digest(Workspace(folder.parent), folder.name), folder)


def foreign(adapter: Adapter, folder: Path) -> Adapter:
    """Made for other weights: it cannot be loaded."""
    return changed(adapter, folder, "contract.json", lambda contract: contract["base"].update(weights="another"))


def again(adapter: Adapter, folder: Path) -> Adapter:
    """Of another digest, which answers the same."""
    return changed(adapter, folder, "adapter_config.json", lambda config: config.update(lora_dropout=0.01))


def said(adapter: Adapter) -> tuple[str, str]:
    """What it answers, and the digest that it answers under."""
    return json.dumps({"issue_type": adapter.label}, separators=(",", ":")), adapter.digest
