"""A real cluster with the operator in it, and a namespace of its own for each scenario."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import pytest
from cluster import ROOT, Namespace, curriculum, few_findings, kubectl, with_images


@pytest.fixture(scope="session")
def operator() -> str:
    """The operator, installed as the README says; the name of its namespace."""
    if "FLYWHEEL_IMAGES" not in os.environ or shutil.which("kubectl") is None:
        pytest.skip("no cluster: run `make e2e`, which starts one and sets FLYWHEEL_IMAGES")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    manifests = kubectl("kustomize", str(ROOT / "charts" / "flywheel-operator"))
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=with_images(manifests))
    kubectl("-n", "flywheel-system", "rollout", "status", "deployment/flywheel-operator", "--timeout=180s")
    return "flywheel-system"


@pytest.fixture
def empty(operator: str, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace under restricted Pod Security with nothing in it."""
    del operator
    name = f"e2e-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield Namespace(name)
    finally:
        if request.session.testsfailed:
            print(kubectl("-n", name, "get", "curr,fwr,adep,jobs,pods,events", "-o", "wide", check=False))
        kubectl("delete", "namespace", name, "--wait=false")
        subprocess.run([str(ROOT / "tools" / "cluster" / "cluster"), "volumes"], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def namespace(empty: Namespace) -> Namespace:
    """A namespace with data, base model, teacher and a Curriculum that is Ready."""
    empty.load("student")
    empty.write("datasets/findings.jsonl", few_findings())
    empty.start_teacher()
    empty.apply(curriculum())
    empty.kubectl("wait", "--for=condition=Ready", "curr/code-review-severity", "--timeout=180s")
    return empty
