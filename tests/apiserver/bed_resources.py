"""The resources that tests apply."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def curriculum(namespace: str, name: str = "severity") -> Object:
    """A small Curriculum."""
    return {
        "apiVersion": "flywheel.dev/v1alpha1",
        "kind": "Curriculum",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "task": {
                "instructions": "Rate the severity. Mind $(HOME) and $$.",
                "inputSchema": {"type": "object", "properties": {"review": {"type": "string"}}, "required": ["review"]},
                "outputSchema": {"type": "object", "properties": {"label": {"enum": ["major", "minor"]}}},
                "label": {"path": "label", "order": ["major", "minor"]},
            },
            "sources": [
                {
                    "name": "findings",
                    "truth": "Rule",
                    "group": "package",
                    "dataset": {"path": "datasets/findings.jsonl"},
                }
            ],
            "pools": {"key": "tests"},
            "workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}},
        },
    }


def run(namespace: str, name: str = "first", iterations: int = 2, **spec: Any) -> Object:
    """A small FlywheelRun; `spec` is set over it."""
    return {
        "apiVersion": "flywheel.dev/v1alpha1",
        "kind": "FlywheelRun",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "curriculumRef": {"name": "severity"},
            "student": {"model": {"persistentVolumeClaim": {"claimName": "flywheel", "path": "student"}}},
            "teacher": {"baseURL": "http://teacher:8000/v1", "model": "rehearsal", "secretRef": {"name": "teacher"}},
            "exam": {"questions": 20, "examples": 40},
            "training": {"maxSteps": 100, "learningRate": "3e-3"},
            "stop": {"maxIterations": iterations},
            **spec,
        },
    }


def deployment(namespace: str, name: str = "severity") -> Object:
    """An AdapterDeployment whose Service may or may not be there."""
    return {
        "apiVersion": "flywheel.dev/v1alpha1",
        "kind": "AdapterDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "target": {
                "triton": {
                    "serviceRef": {"name": "triton"},
                    "model": "severity",
                    "repository": {"persistentVolumeClaim": {"claimName": "models"}},
                }
            }
        },
    }
