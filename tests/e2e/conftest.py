"""A real cluster with the operator in it, and a namespace of its own for each scenario."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from cluster import EXAMPLE, SYSTEM, Namespace, curriculum, few_findings, install, kubectl
from prometheus_server import ALERTS, Prometheus, at_once, running


@pytest.fixture(scope="session")
def operator() -> str:
    """The operator, installed as the README says; the name of its namespace."""
    if "FLYWHEEL_IMAGES" not in os.environ or shutil.which("kubectl") is None:
        pytest.skip("no cluster: run `make e2e`, which starts one and sets FLYWHEEL_IMAGES")
    install()
    return SYSTEM


@pytest.fixture(scope="session")
def prometheus(operator: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Prometheus]:
    """It scrapes every pod of the operator, as the chart's monitor would; the chart's alerts without their delays.

    Debian's knows no Kubernetes; the tests of one file leave the pods as they are.
    """
    slices = json.loads(
        kubectl(
            "-n", operator, "get", "endpointslices", "-l", "kubernetes.io/service-name=flywheel-operator", "-o", "json"
        )
    )
    addresses = [each for found in slices["items"] for entry in found["endpoints"] for each in entry["addresses"]]
    scraped = {"static_configs": [{"targets": [f"{address}:8080" for address in addresses]}]}
    folder = tmp_path_factory.mktemp("prometheus")
    with running(folder, scraped, at_once(ALERTS, folder), every="5s") as server:
        yield server


@pytest.fixture(scope="session")
def demo(prometheus: Prometheus) -> str:
    """Output of examples/code-review/demo; its namespace stays for the tests of what it left."""
    del prometheus
    done = subprocess.run(
        [str(EXAMPLE / "demo")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="session")
def review(demo: str) -> Namespace:
    """The demo's namespace after the demo."""
    del demo
    return Namespace("review")


@contextmanager
def fresh_namespace(request: pytest.FixtureRequest) -> Generator[Namespace]:
    """A namespace under restricted Pod Security; when a test failed, its story is printed before it goes."""
    name = f"e2e-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield Namespace(name)
    finally:
        if request.session.testsfailed:
            print(kubectl("-n", name, "get", "curr,fwr,adep,jobs,pods,events", "-o", "wide", check=False))
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def empty(operator: str, request: pytest.FixtureRequest) -> Generator[Namespace]:
    """A namespace of its own, with nothing in it."""
    del operator
    with fresh_namespace(request) as made:
        yield made


@pytest.fixture(scope="session")
def namespace(operator: str, request: pytest.FixtureRequest) -> Generator[Namespace]:
    """Data, base model, teacher and a Curriculum that is Ready; shared by scenarios, each with runs of its own name."""
    del operator
    with fresh_namespace(request) as made:
        made.load("student")
        made.write("datasets/findings.jsonl", few_findings())
        made.start_teacher()
        made.apply(curriculum())
        made.kubectl("wait", "--for=condition=Ready", "curr/code-review-severity", "--timeout=180s")
        yield made
