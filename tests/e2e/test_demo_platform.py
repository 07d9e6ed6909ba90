"""What a platform team does after the demo: Git takes over, a stall alerts, a commit goes back, things are deleted."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import served
import yaml
from argocd_server import NAMESPACE, Argo, Followed, Repository, running
from cluster import EXAMPLE, ROOT, Namespace, install, kubectl, small_run, uninstall, wait_for
from prometheus_server import Prometheus

HOUR = 3600.0
RESOURCES = ("curriculum.yaml", "flywheelrun.yaml", "adapterdeployment.yaml")
OF_THE_OPERATOR = (
    "all,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,poddisruptionbudgets,networkpolicies,"
    "configmaps,secrets,leases"
)


@pytest.fixture
def argo(tmp_path: Path) -> Generator[Argo]:
    """A real Argo CD with our ConfigMap, as processes beside the cluster; nothing of it stays there."""
    try:
        with running(Path(os.environ["KUBECONFIG"]), tmp_path, ROOT / "argocd/argocd-cm.yaml") as started:
            yield started
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        kubectl("delete", "crd", "-l", "app.kubernetes.io/part-of=argocd", "--wait=false")


@pytest.fixture
def git(review: Namespace, argo: Argo, tmp_path: Path) -> Followed:
    """A repository that is to be followed in the demo's namespace."""
    return Followed(argo, review.name, Repository(tmp_path / "repository"))


def test_git_takes_over_a_run_stalls_and_a_commit_goes_back(
    git: Followed, review: Namespace, prometheus: Prometheus
) -> None:
    """What the demo applied is adopted without a difference; a run that learns nothing alerts, and ends well."""
    files: dict[str, Any] = {name: (EXAMPLE / name).read_text() for name in RESOURCES}
    git.begin()
    git.commit(files)
    git.health(Curriculum="Healthy", FlywheelRun="Healthy", AdapterDeployment="Healthy", all="Healthy")
    candidate = served.digest(review)

    plateau = {"patience": 1, "minDelta": "0.001"}  # so little that it is never proven to be missed
    git.commit({"second.json": small_run("stalls", stop={"maxIterations": 2, "plateau": plateau})})
    git.health(all="Progressing")
    git.health(600, all="Healthy")
    assert review.condition("fwr", "stalls", "Completed")["reason"] == "MaxIterations"
    alerts = prometheus.ever('ALERTS{alertstate="firing", namespace="review"}', HOUR)
    fired = {(series["metric"]["alertname"], series["metric"]["name"]) for series in alerts}
    print(f"alerts, without their delays: {sorted(fired)}")
    assert {name for alert, name in fired if alert == "FlywheelProficiencyStalled"} == {"stalls"}

    adep = yaml.safe_load(files["adapterdeployment.yaml"])
    git.commit({"adapterdeployment.yaml": adep | {"spec": adep["spec"] | {"pin": "Base"}}})
    wait_for("the bare student serves", lambda: served.digest(review) == "Base")
    revision = git.commit({"adapterdeployment.yaml": files["adapterdeployment.yaml"]})
    wait_for("the candidate serves again", lambda: served.digest(review) == candidate)
    git.health(all="Healthy")
    git.no_difference(revision, "fwr/stalls")


def test_deleting_the_run_leaves_what_serves_and_it_heals(review: Namespace) -> None:
    """The run goes; the adapter still answers, also on a new pod."""
    digest = served.digest(review)
    review.kubectl("delete", "fwr", "severity-2026-11", "--timeout=120s")
    assert served.answering(review) == served.digest(review) == digest
    pod = review.kubectl("get", "pods", "-l", "app.kubernetes.io/name=triton", "-o", "name").split()[0]
    review.kubectl("delete", pod, "--grace-period=2", "--timeout=120s")
    review.kubectl("rollout", "status", "deployment/triton", "--timeout=180s")
    wait_for("another pod serves", lambda: pod not in served.pods(review) and served.by_pods(review) == [digest])
    wait_for("it is asked", lambda: [entry["verified"] for entry in served.pods(review).values()] == [True])


@pytest.fixture
def away() -> Generator[None]:
    """The operator is taken away; afterwards it is installed again, for other tests."""
    yield
    install()


def test_taking_the_operator_away_leaves_crds_and_data_and_nothing_else(review: Namespace, away: None) -> None:
    """As the chart's README says; what serves answers."""
    del away
    team = (
        "get",
        "curr,fwr,adep,persistentvolumeclaims",
        "-o",
        "jsonpath={range .items[*]}{.kind}{.spec}{.status}{end}",
    )
    before = review.kubectl(*team)
    uninstall()
    ours = ("-l", "app.kubernetes.io/name=flywheel-operator", "-o", "name")
    assert kubectl("get", OF_THE_OPERATOR, "-A", *ours) == ""
    assert kubectl("get", "clusterroles", "-l", "app.kubernetes.io/part-of=flywheel", "-o", "name") == ""
    crds = kubectl("get", "crd", "-l", "app.kubernetes.io/part-of=flywheel", "-o", "name").split()
    assert len(crds) == 3
    assert review.kubectl(*team) == before != ""
    assert served.answering(review) == served.digest(review)
