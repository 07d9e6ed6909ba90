"""The operator's own token is replaced while it runs, as the kubelet does: it goes on with the new one."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from bed_node import HOLD, Stages
from bed_operator import ThreadedOperator
from bed_resources import curriculum, run
from kubernetes.config import incluster_config

from conftest import Bed
from flywheel.controller.client import connect

ACCOUNT = "flywheel-operator"
SYSTEM = "flywheel-system"
NOBODY = ""


def token_bound_to(bed: Bed, secret: str) -> str:
    """A token of the operator's account, valid until the Secret is deleted."""
    bed.plane.kubectl("-n", SYSTEM, "create", "secret", "generic", secret)
    bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
    return bed.plane.kubectl("-n", SYSTEM, "create", "token", ACCOUNT, *bound).strip()


@pytest.fixture
def token_file(bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a pod finds its token; read anew for each request, not once a minute."""
    file = tmp_path / "token"
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(file))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", f"{bed.plane.folder}/api/apiserver.crt")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(bed.plane.port))
    read: Any = incluster_config.InClusterConfigLoader._read_token_file

    def read_and_expire(loader: Any) -> None:
        read(loader)
        loader.token_expires_at = datetime.datetime.min

    monkeypatch.setattr(incluster_config.InClusterConfigLoader, "_read_token_file", read_and_expire)
    return file


def test_the_token_is_replaced(bed: Bed, token_file: Path) -> None:
    """The old one is refused from then on: requests and watches take the new one, and the run ends as it would."""
    exam = ("first", 1, "exam")
    script = bed.node.script = Stages({exam: HOLD})
    token_file.write_text(token_bound_to(bed, "old"))
    operator = ThreadedOperator(bed.plane, (bed.namespace,), connect=connect)
    bed.operators.append(operator)
    operator.start()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, "first", 1))
    bed.until_started(exam)
    token_file.write_text(token_bound_to(bed, "new"))
    bed.plane.kubectl("-n", SYSTEM, "delete", "secret", "old")
    bed.plane.kill_api_server()  # else a watch that is open lives on
    bed.plane.restart_api_server()
    script.clear()
    finished = bed.until_completed()
    assert {entry["attempt"] for entry in finished["status"]["history"][0]["steps"]} == {1}
    assert operator.health.live() == ""
    assert [request for request in bed.plane.requests(NOBODY) if request["code"] == "401"], (
        "the old one was not refused"
    )
