"""The small world of servers with a name for every adapter: a store, pods that forget, Jobs that end when told.

vLLM loads on request and dies where a folder it has registered is removed; NIM looks through the store by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.request import VerifyParameters
from flywheel.api.result import PublishFigures, StepResult, VerifyFigures
from flywheel.serving.calls import Call, CallFailure, Endpoint, LoadModel, ServingPodView
from flywheel.serving.names import adapter_name
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.planner import decide_deployment

from .world import AnyWorld, Parameters, digest, run_with

MODEL, BASE_MODEL, DRAIN = "severity", "student", 100


def deployment(kind: Literal["vllm", "nim"], keep: int = 1, **target: Any) -> AdapterDeployment:
    server = {"serviceRef": {"name": "llm"}, "model": MODEL, "baseModel": BASE_MODEL, "drain": f"{DRAIN}s", **target}
    server["store"] = {"persistentVolumeClaim": {"claimName": "adapters"}}
    return AdapterDeployment.model_validate(
        {
            "metadata": {"name": "severity", "namespace": "review", "uid": "0123456789", "generation": 1},
            "spec": {"target": {kind: server}, "keep": keep},
        }
    )


def name(number: int) -> str:
    return adapter_name(MODEL, digest(number))


@dataclass
class Pod:
    """One server; `unready`: it serves nobody just now, and what it has registered it still reads."""

    listed: set[str] = field(default_factory=set[str])
    unready: bool = False
    away: bool = False


@dataclass
class World(AnyWorld):
    """Everything outside the decision. `bad`: adapters that do not answer as measured."""

    runs: list[FlywheelRun] = field(default_factory=lambda: [run_with(1)])
    pods: dict[str, Pod] = field(default_factory=lambda: {"llm-0": Pod(), "llm-1": Pod()})
    bad: set[str] = field(default_factory=set[str])
    store: set[str] = field(default_factory=set[str])
    blind: bool = False  # NIM pods that do not look through the store
    alias_taken: bool = False
    verified: set[str] = field(default_factory=set[str])

    @property
    def vllm(self) -> bool:
        return self.deployment.spec.target.vllm is not None

    @property
    def alias(self) -> str | None:
        return self.deployment.status.alias

    def observed(self) -> DeploymentObserved:
        self._look_through()
        views = tuple(
            ServingPodView(
                Endpoint(pod_name, f"{pod_name}:8000", ready=not pod.unready),
                candidates={} if pod.away else {entry: entry for entry in (*pod.listed, BASE_MODEL)},
                error="no answer" if pod.away else "",
            )
            for pod_name, pod in self.pods.items()
        )
        return DeploymentObserved(
            self.deployment,
            tuple(self.runs),
            pods=views,
            jobs=tuple(self.jobs.values()),
            failures=self.failures,
            alias_taken=self.alias_taken,
            others=self.others,
        )

    def decide(self, *, lost: bool = False) -> DeploymentPlan:
        """One reconcile. `lost`: the operator dies between creating Jobs and the status write."""
        before = self.deployment.status
        plan = decide_deployment(self.observed(), self.now)
        self._obey(plan)
        if plan.status.alias != before.alias:
            self._check_switch(plan.status.alias)
        if lost:
            return plan
        self.writes += plan.status != before
        self.deployment = self.deployment.model_copy(update={"status": plan.status})
        self.events += plan.events
        self.failures = tuple(failure for call in plan.calls if (failure := self._call(call)) is not None)
        self.now += timedelta(seconds=min(plan.requeue_after or 1.0, 400.0))
        return plan

    def _check_switch(self, alias: str | None) -> None:
        """What clients are told to ask was verified, and every pod that gets traffic has it."""
        assert alias is not None
        if alias != BASE_MODEL:
            assert alias in self.verified, f"{alias} was never verified"
            assert all(alias in pod.listed for pod in self.pods.values() if not pod.unready)

    def _look_through(self) -> None:
        if not self.vllm and not self.blind:
            for pod in self.pods.values():
                pod.listed = set(self.store)

    def _call(self, call: Call) -> CallFailure | None:
        assert self.vllm, "NIM has no calls"
        pod = self.pods.get(call.endpoint.pod)
        if pod is None or pod.away:
            return CallFailure(call, "the pod is gone")
        if not isinstance(call, LoadModel):
            pod.listed.discard(call.model)
            return None
        if self.broken_loads:
            self.broken_loads -= 1
            return CallFailure(call, "the adapter's rank is above the server's")
        if call.model not in self.store:
            return CallFailure(call, "finds no adapter")
        pod.listed.add(call.model)
        return None

    def _work(self, asked: Parameters) -> StepResult:
        if isinstance(asked, VerifyParameters):
            passed = asked.adapter_digest not in self.bad
            self.verified |= {asked.model} if passed else set()
            agreed = dict.fromkeys(asked.addresses, 20 if passed else 0)
            return StepResult(manifest=digest(1), figures=VerifyFigures(probes=20, agreed=agreed, passed=passed))
        assert asked.layout == "Folders"
        if asked.phase == "stage":
            self.store.add(asked.candidate_model)
        for retired in asked.retired:
            self.remove(retired)
        figures = PublishFigures(phase=asked.phase, adapter=asked.adapter_digest)
        return StepResult(manifest=digest(1), figures=figures)

    def remove(self, folder: str) -> None:
        """A folder goes from the store: a vLLM engine that has it registered dies of that."""
        reading = [pod_name for pod_name, pod in self.pods.items() if folder in pod.listed]
        assert not (self.vllm and reading), f"{reading} still lists {folder}"
        assert folder != self.alias, "clients are told to ask it"
        self.store.discard(folder)

    def settle(self, most: int = 300) -> None:
        """Go on until nothing changes: Jobs end well, time passes, what drains has drained."""
        for _ in range(most):
            before = (self.deployment.status, len(self.jobs), repr(self.pods))
            end = self.now + timedelta(seconds=2 * DRAIN)
            while self.now < end and before == (self.deployment.status, len(self.jobs), repr(self.pods)):
                self.decide()
                self.end_jobs()
            status = self.deployment.status
            if before == (status, len(self.jobs), repr(self.pods)) and status.rollout is None and status.step is None:
                return
        raise AssertionError(f"never comes to rest: {self.deployment.status}")
