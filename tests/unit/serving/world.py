"""A small world to decide in: a disk, pods that load from it, Jobs that end when told, and runs with candidates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flywheel.api.adapterdeployment import AdapterDeployment, PodCount
from flywheel.api.conditions import Event
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.request import PublishParameters, VerifyParameters
from flywheel.api.result import PublishFigures, StepError, StepResult, VerifyFigures
from flywheel.api.target import BASE
from flywheel.loop.observed import JobView, PodView
from flywheel.serving.calls import Call, CallFailure, Endpoint, LoadModel, ServingPodView
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.planner import decide_deployment

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODEL = "severity"
Parameters = PublishParameters | VerifyParameters


def digest(number: int) -> str:
    return f"sha256:{number:064x}"[:7] + f"{number:08x}" + "0" * 56


def deployment() -> AdapterDeployment:
    target = {"serviceRef": {"name": "triton"}, "model": MODEL}
    target |= {"repository": {"persistentVolumeClaim": {"claimName": "models"}}}
    return AdapterDeployment.model_validate(
        {
            "metadata": {"name": "severity", "namespace": "review", "uid": "0123456789", "generation": 1},
            "spec": {"target": {"triton": target}},
        }
    )


def run_with(number: int, *, name: str = "run", iteration: int = 1, hours: int = 0) -> FlywheelRun:
    """A run whose candidate has the digest of that number."""

    def step(kind: str) -> dict[str, object]:
        return {"name": kind, "attempt": 1, "digest": digest(number + 5000)}

    return FlywheelRun.model_validate(
        {
            "metadata": {
                "name": name,
                "namespace": "review",
                "uid": f"uid-{name}",
                "creationTimestamp": (START + timedelta(hours=hours)).isoformat(),
            },
            "spec": {
                "curriculumRef": {"name": "c"},
                "student": {"model": {"persistentVolumeClaim": {"claimName": "flywheel", "path": "student"}}},
                "teacher": {"baseURL": "http://teacher/v1", "model": "m", "secretRef": {"name": "s"}},
                "training": {"maxSteps": 1},
                "stop": {},
            },
            "status": {
                "workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}},
                "curriculum": {"name": "r1", "path": "curricula/review/c-1/r1", "digest": digest(9000), "pools": []},
                "candidate": {
                    "iteration": iteration,
                    "digest": digest(number),
                    "train": step("train"),
                    "validated": step("validate"),
                    "test": step("test"),
                },
            },
        }
    )


@dataclass
class Pod:
    """`dead`: models that are loaded and whose process is dead."""

    stable: str | None = None
    candidates: dict[str, str] = field(default_factory=dict[str, str])
    dead: set[str] = field(default_factory=set[str])
    answered: int = 0
    failed: int = 0
    microseconds: int = 0

    def view(self, name: str) -> ServingPodView:
        """As the driver tells."""
        candidates = {model: "" if model in self.dead else held for model, held in self.candidates.items()}
        stable = "" if MODEL in self.dead else self.stable
        count = PodCount(name=name, answered=self.answered, failed=self.failed, microseconds=self.microseconds)
        endpoint = Endpoint(name, f"{name}:8001")
        return ServingPodView(endpoint, stable, candidates, dead=MODEL in self.dead, count=count)


@dataclass
class AnyWorld:
    """What does not hang on the kind of server: the resource, its Jobs that end when told, and the clock."""

    deployment: AdapterDeployment
    jobs: dict[str, JobView] = field(default_factory=dict[str, JobView])
    requests: dict[str, Parameters] = field(default_factory=dict[str, Parameters])
    failures: tuple[CallFailure, ...] = ()
    others: tuple[AdapterDeployment, ...] = ()
    broken_loads: int = 0
    now: datetime = START
    events: list[Event] = field(default_factory=list[Event])
    writes: int = 0

    def _obey(self, plan: DeploymentPlan) -> None:
        for name in plan.delete:
            del self.jobs[name]
        for job in plan.create:
            assert isinstance(job.request.parameters, PublishParameters | VerifyParameters)
            if job.name not in self.jobs:
                self.requests[job.name] = job.request.parameters
                about = (job.step, job.request.iteration, job.request.attempt)
                self.jobs[job.name] = JobView(job.name, job.name, *about, self.now, rereads=job.rereads)
        self.failures = ()

    def end_jobs(self, exit_code: int = 0, reason: str = "") -> None:
        """Every Job at work ends: well, or with this code and nothing done."""
        for name, job in self.jobs.items():
            if not job.active:
                continue
            if exit_code:
                error = StepError(reason=reason, message="said the step") if reason else None
                message = StepResult(error=error).to_message()
            else:
                message = self._work(self.requests[name]).to_message()
            state = "Failed" if exit_code else "Succeeded"
            pod = PodView(f"{name}-pod", name, started=True, exit_code=exit_code, message=message)
            self.jobs[name] = replace(job, state=state, pod=pod)

    def _work(self, asked: Parameters) -> StepResult:
        """What a Job that ends well does and says."""
        raise NotImplementedError

    def condition(self, kind: str) -> tuple[str, str] | None:
        found = [entry for entry in self.deployment.status.conditions if entry.type == kind]
        return (found[0].status, found[0].reason) if found else None


@dataclass
class World(AnyWorld):
    """Everything outside the decision. `bad`: adapters that do not answer as measured. `odd`: pods that do not."""

    runs: list[FlywheelRun] = field(default_factory=list[FlywheelRun])
    pods: dict[str, Pod] = field(default_factory=lambda: {"triton-0": Pod(), "triton-1": Pod()})
    bad: set[str] = field(default_factory=set[str])
    odd: set[str] = field(default_factory=set[str])
    deployment: AdapterDeployment = field(default_factory=deployment)
    service_found: bool = True
    disk: str | None = None
    on_volume: set[str] = field(default_factory=set[str])
    staged: dict[str, str] = field(default_factory=dict[str, str])
    late_pulls: int = 0

    def observed(self) -> DeploymentObserved:
        views = tuple(pod.view(name) for name, pod in self.pods.items())
        return DeploymentObserved(
            self.deployment,
            tuple(self.runs),
            service_found=self.service_found,
            pods=views,
            jobs=tuple(self.jobs.values()),
            failures=self.failures,
            others=self.others,
        )

    def decide(self, *, lost: bool = False) -> DeploymentPlan:
        """One reconcile. `lost`: the operator dies between creating Jobs and the status write."""
        plan = decide_deployment(self.observed(), self.now)
        self._obey(plan)
        serving = plan.status.serving
        if serving is not None and serving != self.deployment.status.serving:
            assert {pod.stable for pod in self.pods.values()} == {serving.digest}, "status says more than is true"
        if lost:
            return plan
        if plan.status != self.deployment.status:
            self.writes += 1
        self.deployment = self.deployment.model_copy(update={"status": plan.status})
        self.events += plan.events
        self.failures = tuple(failure for call in plan.calls if (failure := self._call(call)) is not None)
        self.now += timedelta(seconds=min(plan.requeue_after or 1.0, 400.0))
        return plan

    def _call(self, call: Call) -> CallFailure | None:
        pod = self.pods.get(call.endpoint.pod)
        if pod is None:
            return CallFailure(call, "the pod is gone")
        if not isinstance(call, LoadModel):
            pod.candidates.pop(call.model, None)
            pod.dead.discard(call.model)
            return None
        if self.late_pulls:
            self.late_pulls -= 1
            return CallFailure(call, "the disk does not have it", not_there=True)
        if self.broken_loads:
            self.broken_loads -= 1
            return CallFailure(call, "the pod could not load the model")
        found = self.disk if call.model == MODEL else self.staged.get(call.model)
        if found != call.revision:
            return CallFailure(call, "the disk names another adapter")
        pod.dead.discard(call.model)
        if call.model == MODEL:
            pod.stable = found
        else:
            pod.candidates[call.model] = found
        return None

    def end_with(self, name: str, figures: VerifyFigures) -> None:
        """A Job ends with these figures."""
        message = StepResult(manifest=digest(1), path="x", figures=figures).to_message()
        pod = PodView(f"{name}-pod", name, started=True, exit_code=0, message=message)
        self.jobs[name] = replace(self.jobs[name], state="Succeeded", pod=pod)

    def _work(self, asked: Parameters) -> StepResult:
        if isinstance(asked, VerifyParameters):
            good = asked.serve_base or asked.adapter_digest not in self.bad
            odd = {f"{name}:8001" for name in self.odd}
            agreed = {address: 20 if good and address not in odd else 0 for address in asked.addresses}
            figures = VerifyFigures(probes=20, agreed=agreed, passed=all(agreed.values()))
            return StepResult(manifest=digest(1), path="x", figures=figures)
        revision = BASE if asked.serve_base else asked.adapter_digest
        self.on_volume = (self.on_volume | {asked.adapter_digest}) - set(asked.drop)
        if asked.phase == "stage":
            self.staged = {asked.candidate_model: revision}
        else:
            self.disk = revision
        figures = PublishFigures(phase=asked.phase, adapter=asked.adapter_digest)
        return StepResult(manifest=digest(1), path="x", figures=figures)

    def edit(self, **spec: object) -> None:
        """Somebody commits another spec; a field that is None goes."""
        value = self.deployment.to_json_object()
        merged = {name: entry for name, entry in (value["spec"] | spec).items() if entry is not None}
        generation = self.deployment.metadata.generation + 1
        value |= {"spec": merged, "metadata": value["metadata"] | {"generation": generation}}
        self.deployment = AdapterDeployment.model_validate(value)

    def restart(self, name: str) -> None:
        """A pod comes back with what the disk names."""
        self.pods[name] = Pod(stable=self.disk)

    def settle(self, most: int = 200) -> None:
        """Go on until nothing changes: Jobs end well, time passes."""
        for _ in range(most):
            before = (self.deployment.status, len(self.jobs), repr(self.pods))
            self.decide()
            self.end_jobs()
            if (self.deployment.status, len(self.jobs), repr(self.pods)) == before and self._at_rest():
                return
        raise AssertionError(f"never comes to rest: {self.deployment.status}")

    def _at_rest(self) -> bool:
        status = self.deployment.status
        return status.rollout is None and status.step is None


def first(world: World, **wanted: Any) -> None:
    """Decide, with Jobs ending well, until the rollout has these fields."""
    for _ in range(50):
        world.decide()
        world.end_jobs()
        rollout = world.deployment.status.rollout
        if rollout is not None and all(getattr(rollout, name) == value for name, value in wanted.items()):
            return
    raise AssertionError(f"{wanted} never holds")
