"""What our reconcile code makes of one resource that the API server has taken: look by look, with Jobs that end well.

The code is the real one and so are its writes; only Jobs are checked by the API server and not made (dryRun), and
serving pods load whatever they are asked to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from bed_control_plane import ROOT, ControlPlane
from bed_node import request_of
from bed_operator import IMAGES, client_for
from bed_resources import curriculum, run
from bed_results import digest, result

from flywheel.api.conditions import Reason
from flywheel.api.target import Target
from flywheel.controller import labels, reconcile_deployment
from flywheel.controller.apply import Tools
from flywheel.controller.cache import Cache
from flywheel.controller.client import Api, ApiError, Bucket
from flywheel.controller.metrics import Metrics
from flywheel.controller.observe_jobs import JOB_UID
from flywheel.controller.progress import ProgressReader
from flywheel.controller.reconcile_curriculum import reconcile_curriculum
from flywheel.controller.reconcile_run import reconcile_run
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT, JOB, POD, RUN, Resource
from flywheel.controller.settings import Settings
from flywheel.serving.calls import Call, CallFailure, Endpoint, LoadModel, ServingPodView
from flywheel.serving.names import is_candidate_name

Object = dict[str, Any]
MOST_LOOKS = 12
_REASONS = {reason.value for reason in Reason}
_CREATED = "2026-11-21T00:00:00Z"


class _DryJobs(Api):
    """Jobs are checked, not made. `asked` and `refused`: since the last look."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, Metrics(), Bucket(rate=5000, burst=5000))
        self.asked: list[Object] = []
        self.refused: list[str] = []

    def create(self, kind: Resource, namespace: str, body: Object) -> Object:
        if kind != JOB:
            return super().create(kind, namespace, body)
        query = {"fieldValidation": "Strict", "dryRun": "All"}
        try:
            made = self._json("create", "POST", JOB, JOB.path(namespace), query, body)
        except ApiError as error:
            self.refused.append(str(error))
            raise
        made["metadata"]["resourceVersion"] = "1"
        self.asked.append(made)
        return made


@dataclass
class _ServingPod:
    """Found behind every Service."""

    models: dict[str, str] = field(default_factory=dict[str, str])
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("triton-0", "10.9.0.1:8001"))

    def endpoints(self, *_: Any) -> tuple[Endpoint, ...]:
        return (self.endpoint,)

    def look_at_all(self, _endpoints: Sequence[Endpoint], target: Target, *_: Any) -> tuple[ServingPodView, ...]:
        model = target.model
        candidates = {name: found for name, found in self.models.items() if is_candidate_name(model, name)}
        return (ServingPodView(self.endpoint, revision=self.models.get(model), candidates=candidates),)

    def perform(self, calls: Sequence[Call], *_: Any) -> tuple[CallFailure, ...]:
        for call in calls:
            if isinstance(call, LoadModel):
                self.models[call.model] = call.revision
            else:
                self.models.pop(call.model, None)
        return ()


@dataclass
class Look:
    """What came of one resource. `jobs`: steps whose Job was taken. The Ready condition's words, look by look."""

    jobs: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    reasons: list[str] = field(default_factory=list[str])
    messages: list[str] = field(default_factory=list[str])


class Looks:
    """An operator without queues and watches."""

    def __init__(self, plane: ControlPlane, namespace: str, patch: pytest.MonkeyPatch) -> None:
        self.namespace, self._patch = namespace, patch
        self.api = _DryJobs(client_for(plane.operator))
        self._settings = Settings(images=IMAGES, template=(ROOT / "prompts" / "task.j2").read_text())

    def at(self, kind: Resource, item: Object) -> Look:
        """Look until it is at rest, blocked, or an iteration is done."""
        found, name = Look(), item["metadata"]["name"]
        tools = Tools(self.api, Cache(), self._settings, lambda: None)
        tools.cache.update(kind, item)
        for companion, value in self._companions(kind, item):
            tools.cache.update(companion, value)
        for _ in range(MOST_LOOKS):
            self.api.asked, self.api.refused = [], []
            before = tools.cache.get(kind, self.namespace, name)
            again = self._reconcile(tools, kind, name)
            assert again is None or again > 0, f"looked at again after {again} s: a hot loop"
            found.refused += self.api.refused
            ready = self._ready(tools, kind, name)
            found.reasons.append(ready["reason"])
            found.messages.append(ready["message"])
            for job in self.api.asked:
                found.jobs.append(job["metadata"]["labels"][labels.STEP])
                self._finish(tools, job)
            if tools.cache.get(kind, self.namespace, name) == before:
                break
        return found

    def _companions(self, kind: Resource, item: Object) -> list[tuple[Resource, Object]]:
        """What the resource needs in order to go on; serving pods begin empty."""
        spec = item["spec"]
        if kind == RUN:
            return [(CURRICULUM, self._ready_curriculum(spec["curriculumRef"]["name"]))]
        if kind == DEPLOYMENT:
            pod = _ServingPod()
            self._patch.setattr(reconcile_deployment, "serving_endpoints", pod.endpoints)
            self._patch.setattr(reconcile_deployment, "look_at_all", pod.look_at_all)
            self._patch.setattr(reconcile_deployment, "perform", pod.perform)
            return [(RUN, self._run_with_candidate(item["metadata"]["name"]))]
        return []

    def _reconcile(self, tools: Tools, kind: Resource, name: str) -> float | None:
        now = datetime.now(UTC).replace(microsecond=0)
        if kind == CURRICULUM:
            return reconcile_curriculum(tools, self.namespace, name, now)
        if kind == RUN:
            return reconcile_run(tools, ProgressReader(self.api), self.namespace, name, now)
        failures = reconcile_deployment.Failures()
        return reconcile_deployment.reconcile_deployment(tools, failures, self.namespace, name, now)

    def _ready(self, tools: Tools, kind: Resource, name: str) -> Object:
        """The Ready condition as the API server stored it."""
        entry = tools.cache.get(kind, self.namespace, name)
        assert entry is not None
        status = entry.value.get("status") or {}
        ready = next(found for found in status["conditions"] if found["type"] == "Ready")
        assert ready["reason"] in _REASONS and ready["message"]
        assert status["observedGeneration"] == entry.value["metadata"]["generation"]
        return ready

    def _finish(self, tools: Tools, job: Object) -> None:
        """The Job is done, and its pod says what such a step says."""
        ended = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
        tools.cache.update(JOB, {**job, **ended, "metadata": job["metadata"] | {"resourceVersion": "2"}})
        metadata = {
            "name": f"{job['metadata']['name']}-x",
            "uid": f"pod-{job['metadata']['uid']}",
            "namespace": self.namespace,
            "resourceVersion": "1",
            "labels": job["metadata"]["labels"] | {JOB_UID: job["metadata"]["uid"]},
        }
        said = result(request_of(job["spec"]["template"])).to_message()
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "message": said}}
        status = {"phase": "Succeeded", "containerStatuses": [{"name": labels.CONTAINER, "state": state}]}
        tools.cache.update(POD, {"metadata": metadata, "status": status})

    def _ready_curriculum(self, name: str) -> Object:
        found = curriculum(self.namespace, name)
        found["metadata"] |= {"uid": "curriculum", "resourceVersion": "1", "generation": 1}
        revision = {"name": "abc123", "path": f"curricula/{self.namespace}/x/abc123", "digest": digest("abc123")}
        ready = {"type": "Ready", "status": "True", "reason": "Prepared", "message": "x"}
        conditions = [ready | {"lastTransitionTime": _CREATED}]
        return found | {"status": {"revision": revision, "preparedGeneration": 1, "conditions": conditions}}

    def _run_with_candidate(self, deployment: str) -> Object:
        found = run(self.namespace, deploymentRef={"name": deployment})
        found["metadata"] |= {"uid": "run-1234", "resourceVersion": "1", "creationTimestamp": _CREATED}
        steps = {"train": "train", "validated": "validate", "test": "test"}
        accepted = {role: {"name": step, "attempt": 1, "digest": digest(step)} for role, step in steps.items()}
        candidate = {"iteration": 1, "digest": digest("adapter"), **accepted}
        return found | {
            "status": {"workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}}, "candidate": candidate}
        }
