"""The commands themselves: errors of one line, help, completion, which pod's log. No cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from processes import free_port
from typer.testing import CliRunner

from flywheel.cli import completing
from flywheel.cli.logs import newest_pod
from flywheel.cli.main import app

RUNNER = CliRunner()
ASKING = (
    ["status"],
    ["status", "x", "-o", "json"],
    ["explain", "x"],
    ["logs", "x"],
    ["history", "x"],
    ["compare", "x", "y"],
    ["suspend", "x"],
    ["stop", "x", "--apply"],
    ["approve", "x"],
    ["rollback", "x"],
    ["promote", "x"],
    ["preview", "x", "--data", "."],
)


def kubeconfig(folder: Path, port: int) -> Path:
    """Of a server on this computer."""
    entry = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
    path = folder / "config"
    path.write_text(json.dumps(entry))
    return path


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    """A kubeconfig of a port that nothing listens on."""
    return kubeconfig(tmp_path, free_port())


def one_line(words: list[str]) -> str:
    """What a command that fails says."""
    told = RUNNER.invoke(app, words)
    assert told.exit_code == 1 and told.stdout == "", told.output
    assert len(told.stderr.splitlines()) == 1, told.stderr
    return told.stderr


@pytest.mark.parametrize("words", ASKING, ids=lambda words: " ".join(words))
def test_no_kubeconfig_is_one_line(words: list[str], tmp_path: Path) -> None:
    assert "no usable kubeconfig" in one_line([*words, "--kubeconfig", str(tmp_path / "absent")])


def test_an_unreachable_server_and_a_context_that_is_not_there(nobody: Path) -> None:
    said = one_line(["status", "x", "--kubeconfig", str(nobody)])
    assert said.startswith("The connection to the server http://127.0.0.1:") and "was refused" in said
    assert 'context "other" does not exist' in one_line(["status", "--kubeconfig", str(nobody), "--context", "other"])


def test_a_folder_that_is_none_is_said() -> None:
    assert "give --data" in one_line(["preview", "absent"])
    assert "must hold exactly one Curriculum" in one_line(["estimate", str(Path(__file__).parent)])


def test_every_command_says_what_it_does_and_what_its_options_are() -> None:
    group: Any = typer.main.get_command(app)
    names = group.list_commands(None)
    assert len(names) > 10
    for name in names:
        entry = group.get_command(None, name)
        assert entry.help, name
        silent = [option.name for option in entry.params if not option.help and option.name != "help"]
        assert silent == [], name


def pod(name: str, step: str, phase: str, minute: int) -> dict[str, Any]:
    created = f"2026-11-21T04:{minute:02}:00Z"
    marks = {"flywheel.dev/step": step}
    return {"metadata": {"name": name, "labels": marks, "creationTimestamp": created}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("step", "expected"), [(None, "running"), ("train", "newer"), ("exam", "running"), ("test", None)]
)
def test_the_running_pod_is_read_and_else_the_newest(step: str | None, expected: str | None) -> None:
    pods = [
        pod("older", "train", "Failed", 1),
        pod("running", "exam", "Running", 2),
        pod("newer", "train", "Succeeded", 3),
        pod("pending", "exam", "Pending", 4),
    ]
    found = newest_pod(pods, step)
    assert (found["metadata"]["name"] if found is not None else None) == expected


@pytest.mark.parametrize(
    ("words", "found", "directive"),
    [(["su"], "suspend", ":4"), (["logs", "--st"], "--step", ":4"), (["lint", ""], "", ":0")],
)
def test_kubectl_is_told_what_completes(
    words: list[str], found: str, directive: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("_FLYWHEEL_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr("sys.argv", ["kubectl_complete-flywheel", *words])
    completing.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == directive and found in lines


def test_a_command_imports_nothing_of_the_others() -> None:
    """All of them take seconds; whoever asks how a run is waits for each of those."""
    asked = "import sys; from flywheel.cli.main import app; app(['status', '--help'], standalone_mode=False)"
    told = f"{asked}; print('imported', *{{'openai', 'flywheel.cli.report'}} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["imported"]


def test_a_misspelt_command_is_told_what_is_meant() -> None:
    """As kubectl tells it."""
    assert "Did you mean 'status'" in CliRunner().invoke(app, ["statu"]).output
