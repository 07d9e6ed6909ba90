"""As a platform team has it: resources come from Git by Argo CD, Prometheus watches, and the operator goes again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml
from argocd_server import NAMESPACE, Argo, Followed, Repository, running
from cluster import EXAMPLE, ROOT, Namespace, curriculum, few_findings, install, kubectl, small_run, uninstall
from prometheus_server import Prometheus

CURRICULUM, RUN, DEPLOYMENT = "curr/code-review-severity", "fwr/stalls", "adep/severity"
HOUR = 3600.0
KINDS = (
    "all,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,poddisruptionbudgets,networkpolicies,"
    "configmaps,secrets,leases"
)


@pytest.fixture
def argo(operator: str, tmp_path: Path) -> Generator[Argo]:
    """A real Argo CD with our ConfigMap, as processes beside the cluster; nothing of it stays there."""
    del operator
    try:
        with running(Path(os.environ["KUBECONFIG"]), tmp_path, ROOT / "argocd/argocd-cm.yaml") as started:
            yield started
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        kubectl("delete", "crd", "-l", "app.kubernetes.io/part-of=argocd", "--wait=false")


@pytest.fixture
def team(empty: Namespace, argo: Argo, tmp_path: Path) -> Generator[Followed]:
    """A namespace with data, teacher and Triton, whose resources Argo CD takes from Git; afterwards the operator is
    installed again, for other tests."""
    empty.load("student")
    empty.write("datasets/findings.jsonl", few_findings(4))
    empty.start_teacher()
    empty.apply((EXAMPLE / "triton.yaml").read_text())
    followed = Followed(argo, empty.name, Repository(tmp_path / "repository"))
    followed.begin()
    yield followed
    install()


def test_from_git_to_serving_and_the_operator_goes(team: Followed, empty: Namespace, prometheus: Prometheus) -> None:
    """A run gains, stalls, which alerts, ends and serves; a commit goes back; without the operator the team's stays."""
    adep = yaml.safe_load((EXAMPLE / "adapterdeployment.yaml").read_text())
    del adep["metadata"]["namespace"]
    run = small_run(
        "stalls",
        exam={"questions": 24, "examples": 128},
        stop={"maxIterations": 3, "plateau": {"patience": 1, "minDelta": "0.01"}},
        deploymentRef={"name": "severity"},
    )
    run["spec"]["training"]["maxSteps"] = 200
    revision = team.commit({"curriculum.json": curriculum(), "deployment.json": adep, "run.json": run})
    team.health(FlywheelRun="Progressing", all="Progressing")
    team.health(900, FlywheelRun="Healthy")
    words = team.health(Curriculum="Healthy", AdapterDeployment="Healthy", all="Healthy")
    print(words)
    team.no_difference(revision, CURRICULUM, RUN, DEPLOYMENT)
    status = empty.get("fwr", "stalls")["status"]
    candidate = status["candidate"]["digest"]
    assert empty.get("adep", "severity")["status"]["serving"]["digest"] == candidate

    alerts = prometheus.ever(f'ALERTS{{alertstate="firing", namespace="{empty.name}"}}', HOUR)
    assert {series["metric"]["alertname"] for series in alerts} == {"FlywheelProficiencyStalled"}

    pinned = team.commit({"deployment.json": adep | {"spec": adep["spec"] | {"pin": "Base"}}})
    team.health(AdapterDeployment="Healthy", all="Healthy")
    assert empty.get("adep", "severity")["status"]["serving"]["digest"] == "Base"
    team.no_difference(pinned, DEPLOYMENT)

    volumes = kubectl("get", "persistentvolumeclaims,persistentvolumes", "-A", "-o", "name")
    uninstall()
    left = kubectl("get", KINDS, "-A", "-l", "app.kubernetes.io/name=flywheel-operator", "-o", "name")
    assert left == ""
    assert kubectl("get", "clusterroles", "-l", "app.kubernetes.io/part-of=flywheel", "-o", "name") == ""
    crds = kubectl("get", "crd", "-l", "app.kubernetes.io/part-of=flywheel", "-o", "name").split()
    assert len(crds) == 3
    assert kubectl("get", "persistentvolumeclaims,persistentvolumes", "-A", "-o", "name") == volumes != ""
    team.no_difference(pinned, CURRICULUM, RUN, DEPLOYMENT)
    assert empty.get("fwr", "stalls")["status"] == status
    said = subprocess.run([str(EXAMPLE / "rate"), empty.name], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "Served by: Base" in said
