"""A real cluster with the operator in it, and a namespace of its own for each scenario."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from cluster import SYSTEM, Namespace, curriculum, few_findings, install, kubectl


@pytest.fixture(scope="session")
def operator() -> str:
    """The operator, installed as the README says; the name of its namespace."""
    if "FLYWHEEL_IMAGES" not in os.environ or shutil.which("kubectl") is None:
        pytest.skip("no cluster: run `make e2e`, which starts one and sets FLYWHEEL_IMAGES")
    install()
    return SYSTEM


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
