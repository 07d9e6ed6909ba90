"""A local run with a stand-in student and the rehearsal teacher, repeated; then one byte is changed here and there."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_student
import pytest
import yaml
from resources import curriculum_spec, metadata
from rich.console import Console
from typer.testing import CliRunner

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.cli.beside import print_beside
from flywheel.cli.main import app
from flywheel.local.control import as_control, local_runs
from flywheel.local.programs import ML_STEPS, Programs
from flywheel.local.replay import ReplayError, replayed
from flywheel.local.run import LocalRun
from flywheel.workspace.store import Workspace

ROOT = Path(__file__).parents[3]
EVERY_STEP = ["validate", "preflight", "exam", "answer", "evaluate", "train", "validate", "test"]


@dataclass(frozen=True)
class Fakes(Programs):
    """The ML steps are carried out by the stand-in."""

    def command(self, step: str) -> list[str]:
        if step in ML_STEPS:
            return [sys.executable, fake_student.__file__, step]
        return super().command(step)

    def environment(self, step: str) -> dict[str, str]:
        return super().environment(step) | {"PYTHONPATH": str(ROOT / "operator")}


def made(bench: Any, control: bool = False) -> tuple[Path, FlywheelRunStatus]:
    source = {"name": "findings", "truth": "Rule", "group": "file", "dataset": {"path": "datasets/findings.jsonl"}}
    pools = {"key": "tests", "ratios": bench.preparing["ratios"]}
    data = curriculum_spec() | {"task": bench.preparing["task"], "sources": [source], "pools": pools}
    learned = Curriculum.model_validate({"metadata": metadata("severity"), "spec": data})
    spec = {
        "curriculumRef": {"name": "severity"},
        "student": {"model": {"persistentVolumeClaim": {"claimName": "models", "path": "student"}}},
        "teacher": {"baseURL": bench.teacher["baseUrl"], "model": "rehearsal", "secretRef": {"name": "teacher"}},
        "exam": {"questions": 12, "examples": 20},
        "training": {"epochs": 1},
        "stop": {"maxIterations": 1},
    }
    run = FlywheelRun.model_validate({"metadata": metadata("severity-run"), "spec": spec})
    run = as_control(run) if control else run
    teacher = {"FLYWHEEL_TEACHER_API_KEY": bench.key, "FLYWHEEL_TEACHER_HOSTS": "127.0.0.1"}
    home = bench.root / "work"
    local = LocalRun(learned, run, bench.root, home, Fakes(ROOT, Path(sys.executable)), teacher)
    return home, local.drive(lambda *_: None)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def different(folder: Path, resources: Path | None = None) -> list[tuple[int, str]]:
    return [(found.iteration, found.what) for found in replayed(folder, None, resources) if not found.same]


def test_a_run_is_repeated_and_every_changed_byte_is_found(taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home, status = made(taught)
    assert status.conditions[0].reason == "MaxIterations" and status.candidate is not None
    assert status.test is not None and {fall.versus for fall in status.test.blanked} == {"blank:code", "blank:review"}
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    monkeypatch.delenv("FLYWHEEL_TEACHER_API_KEY", raising=False)
    verdicts = list(replayed(home, None, None))
    assert [entry.words for entry in verdicts if not entry.same] == []
    assert [entry.what for entry in verdicts] == [
        *EVERY_STEP,
        *(f"decision: {step}" for step in EVERY_STEP),
        "decision: outcome",
    ]
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before, "nothing is written"

    def changed(edit: Callable[[Path], None]) -> list[tuple[int, str]]:
        copy = home.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(home, copy)
        edit(copy)
        return different(copy)

    iteration = "runs/local/severity-run-*/iter-1"

    def one(copy: Path, pattern: str) -> Path:
        return sorted(copy.glob(pattern))[0]

    def reply(copy: Path) -> None:
        paths = [path for path in copy.glob("ledger/*/*/*.reply.json") if '\\"exam\\"' in path.read_text()]
        change(sorted(paths)[0], 'code\\": \\"', 'code\\": \\"x')

    def payer(copy: Path) -> None:
        paths = [path for path in copy.glob("ledger/*/*/*.reply.json") if '\\"dataset\\"' in path.read_text()]
        change(sorted(paths)[0], '"model":"r', '"model":"R')

    def lost(copy: Path) -> None:
        paths = [path for path in copy.glob("ledger/*/*/*.reply.json") if '\\"proficiency\\"' in path.read_text()]
        paths[0].unlink()

    assert changed(reply) == [(1, "exam")]
    assert (1, "evaluate") in changed(payer)
    assert changed(lost) == [(1, "evaluate")]
    answers = f"{iteration}/validate/a1/answers/candidate.jsonl"
    assert (1, "validate") in changed(lambda copy: change(one(copy, answers), '"minor"', '"major"'))
    exam_answers = f"{iteration}/answer/a1/answers.jsonl"
    assert changed(lambda copy: change(one(copy, exam_answers), '"minor"', '"major"')) == [
        (1, "answer"),
        (1, "evaluate"),
    ]
    weights = f"{iteration}/train/a1/adapter/contract.json"
    assert (1, "train") in changed(lambda copy: change(one(copy, weights), "1", "2"))
    figures = f"{iteration}/validate/a1/manifest.json"
    found = changed(lambda copy: change(one(copy, figures), '"items":', '"items":1'))
    assert (1, "validate") in found and (1, "decision: outcome") in found

    prompts = home.parent / "prompts"
    shutil.copytree(ROOT / "prompts", prompts)
    change(prompts / "exam.j2", "You write", "You wrote")
    monkeypatch.setenv("FLYWHEEL_PROMPTS", str(prompts))
    (found,) = [entry for entry in replayed(home, None, None) if not entry.same]
    assert (found.what, found.iteration) == ("exam", 1) and "is not in the ledger" in found.words
    monkeypatch.delenv("FLYWHEEL_PROMPTS")
    _of_a_cluster(home)


def _of_a_cluster(home: Path) -> None:
    """Without the state of a local run, and with the resources as kubectl prints them; by the command."""
    state = json.loads((home / "local-state.json").read_text())
    (home / "local-state.json").unlink()
    runner = CliRunner()
    told = runner.invoke(app, ["replay", str(home), "local/severity-run"])
    assert told.exit_code == 0 and "give --resources" in told.output and "8 repeated, 0 different, 1 not" in told.output
    folder = home.parent / "resources"
    folder.mkdir()
    for entry in state["resources"]:
        (folder / f"{entry['kind']}.yaml").write_text(yaml.safe_dump(entry))
    assert different(home, folder) == []
    change(folder / "FlywheelRun.yaml", "questions: 12", "questions: 16")
    assert different(home, folder) == [(1, "decision: exam")]
    told = runner.invoke(app, ["replay", str(home), "--resources", str(folder)])
    assert told.exit_code == 1 and "parameters.questions" in told.output


def test_a_control_beside_its_run_asks_nothing_again_and_both_are_shown_and_repeated(taught: Any) -> None:
    home, status = made(taught)
    asked = taught.asked()["requests"]
    alone = told(local_runs(Workspace(home))[:1])
    _, control = made(taught, control=True)
    assert taught.asked()["requests"] == asked, "the ledger has all that the run asked"
    assert control.candidate is None and status.candidate is not None
    assert control.curriculum and status.curriculum and control.curriculum.digest == status.curriculum.digest
    one, other = (entry.history[0] for entry in (status, control))
    assert one.training_items == other.training_items and one.adapter is not None
    evaluated = [next(home.glob(f"runs/local/{name}-????????/iter-1/evaluate/a1/train.jsonl")) for name in NAMES]
    origins = [{json.loads(line)["origin"] for line in path.read_text().splitlines()} for path in evaluated]
    assert origins == [{"teacher", "replay"}, {"replay"}]

    for name in (None, *(f"local/{name}" for name in NAMES)):
        assert [entry.words for entry in replayed(home, name, None) if not entry.same] == []
    runs = [run for _, run in local_runs(Workspace(home))]
    assert [(run.metadata.name, run.spec.control) for run in runs] == [(NAMES[0], False), (NAMES[1], True)]
    shown = told(local_runs(Workspace(home)))
    assert alone == "" and all(entry.validation.accuracy in shown for entry in (one, other) if entry.validation)
    assert "without --control" in told(local_runs(Workspace(home))[1:])
    (home / "local-state.json").write_text((home / "local-state.json").read_text().replace('"seed":0', '"seed":1'))
    assert told(local_runs(Workspace(home))).strip().endswith("which differs in spec.seed.")


NAMES = ("severity-run", "severity-run-control")


def told(runs: list[tuple[Curriculum, FlywheelRun]]) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        print_beside(console, [run for _, run in runs])
    return capture.get()


def test_a_workspace_without_the_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="name one run"):
        list(replayed(tmp_path, "review/none", None))
