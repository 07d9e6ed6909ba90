"""The pod of `kubectl flywheel report`: restricted; its arguments make the page of a claim that it cannot write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from resources import CLAIM

from flywheel.cli.report_pod import manifest
from flywheel.report import __main__ as program
from flywheel.report.page import page
from flywheel.report.resources import Resources
from flywheel.report.run import find_run

NAME = "local/severity-run"


def pod(resources: Resources) -> dict[str, Any]:
    run = resources.runs[0]
    status = run.status.model_copy(update={"workspace": CLAIM})
    return manifest(run.model_copy(update={"status": status}), {"image": "operator:1"})["spec"]


def test_it_is_restricted_and_writes_nothing(resources: Resources) -> None:
    spec = pod(resources)
    (container,) = spec["containers"]
    security = spec["securityContext"]
    assert spec["automountServiceAccountToken"] is False and security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"} and "fsGroup" not in security
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert container["command"] == ["/opt/venv/bin/python", "-m", "flywheel.report"]


def test_its_arguments_print_the_page(
    home: Path, resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any
) -> None:
    objects = [entry.to_json_object() for entry in (*resources.curricula, *resources.runs)]
    (tmp_path / "resources.yaml").write_text(yaml.safe_dump({"kind": "List", "items": objects}))
    (container,) = pod(resources)["containers"]
    here = {"/workspace": str(home), "/resources": str(tmp_path)}
    assert NAME in container["args"]
    monkeypatch.setattr("sys.argv", ["report", *(here.get(word, word) for word in container["args"])])
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    assert program.main() == 0
    assert capfdbinary.readouterr().out == page(find_run(home, NAME, resources))
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


def test_a_workspace_without_the_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["report", str(tmp_path)])
    assert program.main() == 2
    assert "name one run as namespace/name; on the workspace are: none" in capsys.readouterr().err
