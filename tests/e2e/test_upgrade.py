"""The operator is taken away, then put back and upgraded while a run is going on: no step runs twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Generator
from pathlib import Path

import pytest
from cluster import SYSTEM, Namespace, install, kubectl, small_run, uninstall, wait_for, with_images

STEPS = ("exam", "answer", "evaluate", "train", "validate")
PREVIOUS = Path(__file__).parent / "previous" / "manifests.yaml.gz"


@pytest.fixture
def disturbed(namespace: Namespace) -> Generator[Namespace]:
    """A namespace whose operator a test may take away: afterwards it is installed again, for other tests."""
    yield namespace
    install()


def test_an_upgrade_in_the_middle_of_a_run(disturbed: Namespace) -> None:
    """After the previous version's manifests: the chart over them during the exam, new values during training."""
    uninstall()
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    kubectl(*apply, stdin=with_images(gzip.decompress(PREVIOUS.read_bytes()).decode()))
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/flywheel-operator", "--timeout=180s")
    before = replicas()

    disturbed.apply(small_run("upgraded"))
    until_step(disturbed, "exam")
    install("--set=resources.requests.cpu=60m")
    adopted = replicas()
    assert not before & adopted, "the pods are still those of the previous version"
    until_step(disturbed, "train")
    install("--set=resources.requests.cpu=70m")
    assert not adopted & replicas()

    disturbed.wait_reason("fwr", "upgraded", "Completed", "MaxIterations", seconds=600)
    status = disturbed.get("fwr", "upgraded")["status"]
    assert {step["name"]: step["attempt"] for step in status["history"][0]["steps"]} == dict.fromkeys(STEPS, 1)
    jobs = disturbed.kubectl("get", "jobs", "-l", "flywheel.dev/owner=upgraded", "-o", "name").split()
    assert len(jobs) == len(STEPS) + 2  # and validate and preflight as iteration 0


def until_step(namespace: Namespace, step: str) -> None:
    """Until a pod of this step is there."""
    labels = f"flywheel.dev/owner=upgraded,flywheel.dev/step={step}"
    wait_for(f"step {step}", lambda: namespace.kubectl("get", "pods", "-l", labels, "-o", "name") != "", 300)


def replicas() -> set[str]:
    """The operator's pods that are not about to end."""
    text = kubectl("-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/name=flywheel-operator", "-o", "json")
    found = [pod["metadata"] for pod in json.loads(text)["items"]]
    return {pod["uid"] for pod in found if "deletionTimestamp" not in pod}
