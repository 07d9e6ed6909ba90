"""`flywheel` against a real API server: what is read, what is changed, and how refusals are worded. No operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bed_control_plane import ControlPlane
from bed_resources import curriculum, deployment, run
from test_crds import REFUSED
from typer.testing import CliRunner, Result

from flywheel.cli.linting import lint
from flywheel.cli.main import app
from flywheel.controller.client import Api
from flywheel.controller.resources import DEPLOYMENT, RUN

NAMESPACE = "cli"
NOW = "2026-11-22T10:00:00Z"
FIGURES = {"accuracy": "0.7000", "low": "0.6000", "high": "0.8000", "items": 40}
WAITING = "sha256:" + "a" * 64
BLOCKED = [
    {"type": kind, "status": status, "reason": "TeacherSecret", "message": "the Secret teacher is missing: create it",
     "observedGeneration": 1, "lastTransitionTime": NOW}
    for kind, status in (("Ready", "False"), ("Stalled", "True"))
]  # fmt: skip
RUN_STATUS = {
    "observedGeneration": 1,
    "conditions": BLOCKED,
    "iteration": 1,
    "step": "exam",
    "attempt": {"waits": 2},
    "history": [{"number": 1, "proficiency": 4, "validation": FIGURES}],
    "validation": FIGURES,
}
TAKEN = {
    "digest": WAITING,
    "run": "first",
    "iteration": 1,
    "runCreated": NOW,
    "workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}},
}


@pytest.fixture(scope="module")
def made(plane: ControlPlane) -> Iterator[ControlPlane]:
    """Two runs, one of them applied by Argo CD, a Curriculum and an AdapterDeployment with a candidate that waits."""
    plane.kubectl("create", "namespace", NAMESPACE)
    manual = deployment(NAMESPACE)
    manual["spec"]["approval"] = "Manual"
    for item in (curriculum(NAMESPACE), run(NAMESPACE), manual):
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(item))
    owned = json.dumps(run(NAMESPACE, "owned", seed=7))
    plane.kubectl("apply", "--server-side", "--field-manager=argocd-controller", "-f", "-", stdin=owned)
    for target, status in (("fwr/first", RUN_STATUS), ("adep/severity", {"waiting": TAKEN})):
        patch = json.dumps({"status": status})
        plane.kubectl("-n", NAMESPACE, "patch", target, "--subresource=status", "--type=merge", "-p", patch)
    yield plane
    plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def flywheel(plane: ControlPlane, *words: str) -> Result:
    """As the admin, in the namespace."""
    return CliRunner().invoke(app, [*words, "-n", NAMESPACE, "--kubeconfig", str(plane.admin)])


def refused(told: Result) -> str:
    """The one line of a command that fails."""
    assert told.exit_code == 1 and "Traceback" not in told.output
    return told.stderr.strip()


def test_what_is_there_is_read(made: ControlPlane) -> None:
    listed = json.loads(flywheel(made, "status", "-o", "json").stdout)
    assert {line["name"]: line["reason"] for line in listed["runs"]} == {"first": "TeacherSecret", "owned": ""}
    assert [line["waiting"] for line in listed["deployments"]] == [WAITING]
    shown = flywheel(made, "status")
    assert shown.exit_code == 0 and "TeacherSecret" in shown.output and "0.6000 to 0.8000" in shown.output
    assert "iteration 1 exam" in flywheel(made, "status", "fwr/first").output
    assert "Serving pods" in flywheel(made, "status", "adep/severity").output
    assert [entry["proficiency"] for entry in json.loads(flywheel(made, "history", "first", "-o", "json").stdout)] == [
        4
    ]
    compared = yaml.safe_load(flywheel(made, "compare", "first", "owned", "-o", "yaml").stdout)
    assert [entry["field"] for entry in compared["settings"]] == ["spec.seed"]


def test_why_it_is_where_it_is(made: ControlPlane) -> None:
    said = json.loads(flywheel(made, "explain", "first", "-o", "json").stdout)
    assert said["reason"] == "TeacherSecret" and "The step asked 2 times to be tried later." in said["why"]
    assert any("Mend the Secret" in sentence for sentence in said["next"])
    assert "has not looked at it" in flywheel(made, "explain", "curr/severity").output
    assert "say adep/severity or curr/severity" in refused(flywheel(made, "explain", "severity"))


def test_what_is_not_there_is_said_as_kubectl_says_it(made: ControlPlane) -> None:
    kubectl = made.kubectl("-n", NAMESPACE, "get", "fwr", "absent", check=False).strip()
    for words in (["status"], ["explain"], ["logs"], ["history"], ["suspend"]):
        assert refused(flywheel(made, *words, "absent")) == kubectl
    assert "no pod of step train of first is there" in refused(flywheel(made, "logs", "first", "--step", "train"))


def test_a_change_is_printed_and_only_applied_when_told(made: ControlPlane, api: Api) -> None:
    printed = flywheel(made, "suspend", "first")
    assert yaml.safe_load(printed.stdout)["spec"] == {"suspend": True} and "--type=merge" in printed.stdout
    assert _spec(api, RUN, "first").get("suspend") is not True
    assert flywheel(made, "suspend", "first", "--apply").stdout == "flywheelrun.flywheel.dev/first patched\n"
    assert _spec(api, RUN, "first")["suspend"] is True
    assert "suspended already" in refused(flywheel(made, "suspend", "first", "--apply"))
    assert flywheel(made, "resume", "first", "--apply").exit_code == 0
    assert _spec(api, RUN, "first")["suspend"] is False
    assert flywheel(made, "approve", "severity", "--apply").exit_code == 0
    assert _spec(api, DEPLOYMENT, "severity")["approvedDigest"] == WAITING


def test_what_git_keeps_is_changed_only_by_force(made: ControlPlane, api: Api) -> None:
    told = flywheel(made, "suspend", "owned", "--apply")
    assert "Argo CD keeps FlywheelRun owned" in refused(told) and "give --force" in told.stderr
    assert yaml.safe_load(told.stdout)["spec"] == {"suspend": True}, "what to commit is printed all the same"
    assert _spec(api, RUN, "owned").get("suspend") is not True
    forced = flywheel(made, "suspend", "owned", "--apply", "--force")
    assert forced.exit_code == 0 and "Argo CD keeps it" in forced.stderr
    assert _spec(api, RUN, "owned")["suspend"] is True


def test_who_may_not_is_told_as_by_kubectl(made: ControlPlane, tmp_path: Path) -> None:
    config = json.loads(made.admin.read_text())
    made.kubectl("-n", NAMESPACE, "create", "serviceaccount", "nobody")
    config["users"][0]["user"] = {"token": made.kubectl("-n", NAMESPACE, "create", "token", "nobody").strip()}
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    words = ["status", "first", "-n", NAMESPACE, "--kubeconfig", str(path)]
    said = refused(CliRunner().invoke(app, words))
    assert said.startswith('Error from server (Forbidden): flywheelruns.flywheel.dev "first" is forbidden: User')
    assert len(said.splitlines()) == 1


def test_the_namespace_is_that_of_the_context(made: ControlPlane, tmp_path: Any) -> None:
    config = json.loads(made.admin.read_text())
    config["contexts"][0]["context"]["namespace"] = NAMESPACE
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    listed = CliRunner().invoke(app, ["status", "--kubeconfig", str(path), "-o", "json"])
    assert len(json.loads(listed.stdout)["runs"]) == 2


def test_lint_refuses_what_the_api_server_refuses() -> None:
    """The same list of bad resources that the API server is given."""
    passed = [words for make, words in REFUSED if not lint([("bad.yaml", json.dumps(make("default")))]).faults]
    assert passed == []


def _spec(api: Api, kind: Any, name: str) -> dict[str, Any]:
    found = api.get(kind, NAMESPACE, name)
    assert found is not None
    return found["spec"]
