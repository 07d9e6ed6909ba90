"""Resources that are committed to Git, with a real Argo CD: it shows how they are, and never finds a difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argocd_server import Argo, Followed, Repository, running
from bed_control_plane import ROOT, ControlPlane
from bed_node import DONE, HOLD, Ending, Stages
from bed_resources import curriculum, deployment, run
from bed_serving import Serving

from conftest import Bed
from flywheel.controller import reconcile_deployment
from flywheel.controller.resources import DEPLOYMENT, RUN

Object = dict[str, Any]
EXAM = ("first", 1, "exam")
WAVE = "argocd.argoproj.io/sync-wave"


@pytest.fixture(scope="module")
def argo(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Argo]:
    """Argo CD with our ConfigMap."""
    with running(plane.admin, tmp_path_factory.mktemp("argocd"), ROOT / "argocd/argocd-cm.yaml") as started:
        yield started


@dataclass
class Team(Followed):
    """Whose namespace has a bed."""

    bed: Bed


@pytest.fixture
def team(argo: Argo, bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """Serving pods are in memory."""
    serving = Serving()
    serving.start(bed.api, bed.namespace, bed.node.said.values())
    monkeypatch.setattr(reconcile_deployment, "look_at_all", serving.look_at_all)
    monkeypatch.setattr(reconcile_deployment, "perform", serving.perform)
    team = Team(argo, bed.namespace, Repository(tmp_path / "repository"), bed)
    team.begin()
    yield team
    argo.forget("application", bed.namespace)


def _run(namespace: str, name: str = "first", **spec: Any) -> Object:
    return run(namespace, name=name, iterations=1, deploymentRef={"name": "severity"}, **spec)


def test_health_follows_a_run(team: Team) -> None:
    """Progressing, Suspended, Degraded and Healthy, each with the operator's words; at the end nothing differs."""
    bed = team.bed
    bed.node.script = script = Stages({EXAM: HOLD})
    files = {"curriculum.json": curriculum(bed.namespace), "deployment.json": deployment(bed.namespace)}
    team.commit({**files, "run.json": _run(bed.namespace)})
    words = team.health(Curriculum="Progressing", FlywheelRun="Progressing", AdapterDeployment="Progressing")
    assert set(words.values()) == {"Waiting for the operator to look at this spec"}  # none runs yet

    bed.operator()
    words = team.health(
        Curriculum="Healthy", FlywheelRun="Progressing", AdapterDeployment="Suspended", all="Progressing"
    )
    assert "candidate" in words["AdapterDeployment"]
    bed.until_started(EXAM)

    team.commit({"run.json": _run(bed.namespace, suspend=True)})
    words = team.health(FlywheelRun="Suspended", all="Suspended")
    assert words["FlywheelRun"] == "suspended by spec.suspend: set it to false to go on"

    script[EXAM] = Ending(waiting=("ImagePullBackOff", "no such image"))
    revision = team.commit({"run.json": _run(bed.namespace)})
    words = team.health(FlywheelRun="Degraded", all="Degraded")
    assert "image" in words["FlywheelRun"]

    script[EXAM] = DONE
    team.health(Curriculum="Healthy", FlywheelRun="Healthy", AdapterDeployment="Healthy", all="Healthy")
    team.no_difference(revision, "curr/severity", "fwr/first", "adep/severity")


def test_promotion_and_rollback_are_commits(team: Team) -> None:
    """approvedDigest lets a candidate serve; a run under a new name replaces a finished one; pin goes back."""
    bed = team.bed

    def adep(**spec: Any) -> Object:
        made = deployment(bed.namespace)
        return {**made, "spec": {**made["spec"], "approval": "Manual", **spec}}

    def serving(candidate: str) -> str:
        bed.until(f"{candidate} serves", lambda: _served(bed) == candidate)
        return team.health(AdapterDeployment="Healthy", all="Healthy")["AdapterDeployment"]

    bed.operator()
    files = {"curriculum.json": curriculum(bed.namespace), "deployment.json": adep()}
    team.commit({**files, "run.json": _run(bed.namespace)})
    bed.until_completed("first")
    first = bed.get(RUN, "first")["status"]["candidate"]["digest"]

    def waits() -> bool:  # it is Suspended before there is a candidate, too; other words alone are no news to Argo CD
        team.argo.look(team.namespace)
        words = team.health(FlywheelRun="Healthy", AdapterDeployment="Suspended", all="Suspended")
        return f"waits for spec.approvedDigest to be {first}" in words["AdapterDeployment"]

    bed.until("the candidate waits for a person", waits)
    team.commit({"deployment.json": adep(approvedDigest=first)})
    serving(first)

    team.commit({"run.json": _run(bed.namespace, "second")})
    bed.until("the first run is pruned", lambda: bed.api.get(RUN, bed.namespace, "first") is None)
    assert _served(bed) == first  # what serves is not the run's
    bed.until_completed("second")
    second = bed.get(RUN, "second")["status"]["candidate"]["digest"]
    assert second != first
    team.commit({"deployment.json": adep(approvedDigest=second)})
    serving(second)

    pinned = team.commit({"deployment.json": adep(approvedDigest=second, pin=first)})
    serving(first)
    team.no_difference(pinned, "curr/severity", "fwr/second", "adep/severity")


def _served(bed: Bed) -> str:
    return ((bed.get(DEPLOYMENT, "severity").get("status") or {}).get("serving") or {}).get("digest", "")


def test_waves_wait_for_health(team: Team) -> None:
    """A wave waits for the one before and nothing for the last; what a run may not change is refused in Git's sight."""
    bed, argo = team.bed, team.argo

    def operation() -> Object:
        return argo.get(team.namespace)["status"].get("operationState") or {}

    def in_wave(wave: int, resource: Object) -> Object:
        return {**resource, "metadata": {**resource["metadata"], "annotations": {WAVE: str(wave)}}}

    first = in_wave(1, _run(bed.namespace))
    revision = team.git.commit({"curriculum.json": in_wave(0, curriculum(bed.namespace)), "run.json": first})
    argo.look(team.namespace)
    wanted = "waiting for healthy state of flywheel.dev/Curriculum/severity"
    argo.until(wanted, lambda: wanted in operation().get("message", ""))
    assert bed.api.get(RUN, bed.namespace, "first") is None

    bed.node.script = Stages({EXAM: HOLD})
    bed.operator()
    argo.until_synced(team.namespace, revision)
    bed.until_started(EXAM)
    team.health(FlywheelRun="Progressing")

    team.git.commit({"run.json": {**first, "spec": {**first["spec"], "seed": 7}}})
    argo.look(team.namespace)
    refused = argo.until("a refusal", lambda: "immutable" in _said(operation()) and _said(operation()))
    assert "spec.seed: Invalid value" in refused and "is immutable: create a new object instead" in refused
    assert bed.get(RUN, "first")["spec"]["seed"] == 0
    team.health(FlywheelRun="Progressing")


def _said(operation: Object) -> str:
    return " ".join(entry.get("message", "") for entry in (operation.get("syncResult") or {}).get("resources") or [])


def test_example_repository(argo: Argo, tmp_path: Path) -> None:
    """examples/gitops: each team's folder becomes an Application, and is applied without waiting for a run's health."""
    git = Repository(tmp_path / "repository")
    named = {
        "https://git.example.com/platform/flywheel.git": git.url,
        "https://kubernetes.default.svc": argo.here["server"],
    }
    folders = (ROOT / "examples/gitops", ROOT / "examples/code-review")
    paths = [path for folder in folders for path in folder.rglob("*.yaml")]
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in paths}
    for old, new in named.items():
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    revision = git.commit({**texts})
    for name in ("project.yaml", "applicationset.yaml"):
        argo.cluster.kubectl(
            "apply", "--server-side", "--validate=strict", "-f", "-", stdin=texts[f"examples/gitops/{name}"]
        )
    try:
        for team in ("checkout", "search"):
            argo.until(f"an Application of {team}", lambda team=team: argo.has("application", f"flywheel-{team}"))
            argo.until_synced(f"flywheel-{team}", revision)
            argo.until_health(f"flywheel-{team}", FlywheelRun="Progressing")  # no operator looks at it
            assert argo.cluster.kubectl("-n", team, "get", "resourcequota,curr,adep,fwr", "-o", "name").split() == [
                "resourcequota/gpus",
                "curriculum.flywheel.dev/code-review-severity",
                "adapterdeployment.flywheel.dev/severity",
                f"flywheelrun.flywheel.dev/severity-2026-{12 if team == 'checkout' else 11}",
            ]
        argo.forget("applicationset", "flywheel")
        argo.until("no Application", lambda: not argo.has("application", "flywheel-search"))
        assert "severity" in argo.cluster.kubectl("-n", "search", "get", "adep", "-o", "name")  # preserved
    finally:
        argo.cluster.kubectl("delete", "namespace", "checkout", "search", "--ignore-not-found", "--wait=false")
