"""The health scripts in argocd/, run by Argo CD's own evaluation, with the ConfigMap that is handed out. No cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from argocd_server import health
from bed_control_plane import ROOT
from bed_kinds import KINDS

from flywheel.api.conditions import Reason
from flywheel.loop.state import State, conditions

Object = dict[str, Any]
CONFIG = ROOT / "argocd/argocd-cm.yaml"
CASES = sorted((ROOT / "argocd/resource_customizations/flywheel.dev").glob("*/health_test.yaml"))
NOW = datetime(2026, 11, 22, tzinfo=UTC)
RUN, DEPLOYMENT = "FlywheelRun", "AdapterDeployment"
USUAL = {"working": "Progressing", "blocked": "Degraded", "ready": "Healthy"}
OF_A_RUN = {"suspended": "Suspended", "completed": "Healthy", "failed": "Degraded"}
WAITS = {"AwaitingApproval": "blocked", "NoCandidate": "working"}


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.parent.name)
def test_as_upstream_tests_it(file: Path) -> None:
    """health_test.yaml, read as Argo CD's own test reads it; every file of testdata/ is in it, and fits its type."""
    tests = yaml.safe_load(file.read_text())["tests"]
    objects = [yaml.safe_load((file.parent / test["inputPath"]).read_text()) for test in tests]
    assert health(objects, CONFIG) == [test["healthStatus"] for test in tests]
    assert {test["inputPath"] for test in tests} == {f"testdata/{path.name}" for path in file.parent.glob("testdata/*")}
    kind = next(kind for kind in KINDS if kind.resource.kind == file.parent.name)
    assert [kind.fault(given) for given in objects] == [""] * len(objects)


def test_every_kind_has_one() -> None:
    """Healthy, Progressing, Suspended and Degraded each come from some status; an unknown kind has no health."""
    assert [file.parent.name for file in CASES] == sorted(kind.resource.kind for kind in KINDS)
    assert health([{"apiVersion": "flywheel.dev/v1alpha1", "kind": "Other", "metadata": {"name": "x"}}], CONFIG) == [
        None
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_every_state_with_every_reason(kind: Any) -> None:
    """As the operator writes conditions: health is that of the state, its message the operator's."""
    name, states = kind.resource.kind, {**USUAL, **(OF_A_RUN if kind.resource.kind == RUN else {})}
    pairs = [(state, reason) for state in states for reason in Reason if _may_be(name, state, reason)]
    found = health([_object(name, state, reason, seen=3) for state, reason in pairs], CONFIG)
    wanted = [{"status": _health(name, state, reason, states), "message": f"about {reason}"} for state, reason in pairs]
    assert found == wanted


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_an_older_spec_tells_nothing(kind: Any) -> None:
    """Progressing until the operator has looked at this spec, but for a run that has ended: nothing changes it."""
    name, states = kind.resource.kind, {**USUAL, **(OF_A_RUN if kind.resource.kind == RUN else {})}
    found = health([_object(name, state, Reason.RUNNING, seen=2) for state in states], CONFIG)
    ends = {"completed": "Healthy", "failed": "Degraded"}
    assert [entry and entry["status"] for entry in found] == [ends.get(state, "Progressing") for state in states]


def _may_be(name: str, state: str, reason: Reason) -> bool:
    if name == DEPLOYMENT and reason in WAITS:
        return WAITS[reason] == state
    return (state == "suspended") == (reason == Reason.SUSPENDED)


def _health(name: str, state: str, reason: Reason, states: dict[str, str]) -> str:
    return "Suspended" if name == DEPLOYMENT and reason in WAITS else states[state]


def _object(name: str, state: Any, reason: Reason, seen: int) -> Object:
    written = conditions([], State(state, reason, f"about {reason}"), seen, NOW)
    return {
        "apiVersion": "flywheel.dev/v1alpha1",
        "kind": name,
        "metadata": {"name": "severity", "namespace": "review", "generation": 3},
        "status": {"observedGeneration": seen, "conditions": [entry.to_json_object() for entry in written]},
    }
