"""Resources as a user writes them, for tests of decisions: small, legal, and changed by keyword."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.workspace import WorkspaceRef
from flywheel.loop.state import Kind, State, conditions

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
NAMESPACE = "review"
LABELS = ["critical", "major", "minor", "trivial"]


def digest(text: str) -> str:
    """A digest that is told apart by its text."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def metadata(name: str, generation: int = 1) -> dict[str, Any]:
    """ObjectMeta as the API server gives it."""
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
        "generation": generation,
        "resourceVersion": "7",
        "creationTimestamp": NOW.isoformat(),
    }


CLAIM = WorkspaceRef.model_validate({"persistentVolumeClaim": {"claimName": "data"}})
BUCKET = WorkspaceRef.model_validate(
    {
        "s3": {
            "endpoint": "https://s3.example.com",
            "bucket": "flywheel",
            "prefix": "team/review",
            "secretRef": {"name": "bucket"},
            "caBundleRef": {"name": "ca"},
        }
    }
)


def curriculum_spec() -> dict[str, Any]:
    """The Curriculum of the example, shortened."""
    return {
        "task": {
            "instructions": "Rate the severity of the issue that the review describes.",
            "inputSchema": {"type": "object", "properties": {"code": {"type": "string"}}},
            "outputSchema": {"type": "object", "properties": {"severity": {"enum": LABELS}}},
            "label": {"path": "severity", "order": LABELS},
        },
        "sources": [
            {
                "name": "findings",
                "truth": "Rule",
                "group": "package",
                "dataset": {"path": "datasets/findings.jsonl"},
            }
        ],
        "pools": {"key": "review-2026"},
        "workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}},
    }


def curriculum(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, generation: int = 1
) -> Curriculum:
    """A Curriculum, not yet prepared unless its status says so."""
    value = {"metadata": metadata("severity", generation), "spec": spec or curriculum_spec(), "status": status or {}}
    return Curriculum.model_validate(value)


def judged_task() -> dict[str, Any]:
    """A Curriculum's spec whose answers hold a text beside the label."""
    spec = curriculum_spec()
    return spec | {"task": spec["task"] | {"scoring": "Judge", "text": {"path": "reason"}}}


def evaluation(**judge: Any) -> dict[str, Any]:
    """A judge of another family, and a model to compare with."""
    return {
        "judge": {"baseURL": "http://judge:8000/v1", "model": "arbiter-2", "secretRef": {"name": "judge"}} | judge,
        "compare": [
            {
                "name": "large",
                "baseURL": "http://large:8000/v1",
                "model": "large-1",
                "secretRef": {"name": "large"},
                "budget": {"tokens": 5000},
            }
        ],
    }


def ready(generation: int = 1) -> dict[str, Any]:
    """Status of a Curriculum whose current revision is prepared."""
    home = f"curricula/{NAMESPACE}/severity-{metadata('severity')['uid'][:8]}"
    name = f"revision{generation}"
    return {
        "observedGeneration": generation,
        "preparedGeneration": generation,
        "revision": {"name": name, "path": f"{home}/{name}", "digest": digest(name)},
        "pools": [
            {"name": pool, "items": 300, "labels": [{"label": label, "items": 75} for label in LABELS]}
            for pool in ("exam", "curriculum", "validation", "test", "probe")
        ],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Prepared",
                "message": name,
                "observedGeneration": generation,
                "lastTransitionTime": NOW.isoformat(),
            }
        ],
    }


def run_spec(**stop: Any) -> dict[str, Any]:
    """A FlywheelRun of few iterations."""
    return {
        "curriculumRef": {"name": "severity"},
        "student": {"model": {"persistentVolumeClaim": {"claimName": "models", "path": "student"}}},
        "teacher": {"baseURL": "http://teacher:8000/v1", "model": "rehearsal", "secretRef": {"name": "teacher"}},
        "training": {"maxSteps": 200},
        "stop": {"maxIterations": 2} | stop,
        "jobs": {"defaults": {}},
    }


def flywheel_run(spec: dict[str, Any], status: dict[str, Any] | None = None, generation: int = 1) -> FlywheelRun:
    """A FlywheelRun as the cache holds it."""
    value = {"metadata": metadata("severity-run", generation), "spec": spec, "status": status or {}}
    return FlywheelRun.model_validate(value)


def stated(kind: Kind, reason: Reason, **more: Any) -> dict[str, Any]:
    """A status with the conditions of a state."""
    found = conditions([], State(kind, reason, "the particulars"), 1, NOW)
    return {"conditions": [entry.to_json_object() for entry in found], "observedGeneration": 1, **more}


def taken(name: str) -> dict[str, Any]:
    """An adapter as an AdapterDeployment's status has it."""
    return {
        "digest": digest(name),
        "run": name,
        "iteration": 2,
        "runCreated": NOW.isoformat(),
        "workspace": CLAIM.to_json_object(),
    }


def adapter_deployment(status: dict[str, Any], **spec: Any) -> AdapterDeployment:
    """An AdapterDeployment on Triton."""
    repository = {"persistentVolumeClaim": {"claimName": "models"}}
    target = {"triton": {"serviceRef": {"name": "triton"}, "model": "severity", "repository": repository}}
    value = {"metadata": metadata("severity"), "spec": {"target": target, **spec}, "status": status}
    return AdapterDeployment.model_validate(value)
