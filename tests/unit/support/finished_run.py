"""A whole run on a workspace: the local loop, its real steps, the rehearsal teacher and the stand-in student.

Steps run in this process, one after another: the same programs, without the start of an interpreter for each.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import fake_student
from resources import curriculum_spec, metadata

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.local import run as local_run
from flywheel.local.control import as_control
from flywheel.local.processes import Process, key_environment
from flywheel.local.programs import ML_STEPS, Programs
from flywheel.local.rehearsal import rehearsal_teacher
from flywheel.local.run import LocalRun
from flywheel.loop.plan import StepJob
from flywheel.workspace import program

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests/unit/rehearsal"
LABELS = ["critical", "major", "minor", "trivial"]
_RATIOS = {"exam": "0.25", "curriculum": "0.35", "validation": "0.18", "test": "0.18", "probe": "0.04"}


@dataclass
class _Ended:
    """What is left of a process."""

    code: int
    pid: int = 1

    def poll(self) -> int:
        return self.code


def _start(job: StepJob, workspace: Path, programs: Programs, keys: dict[str, str], now: datetime) -> Process:
    folder = workspace / ".jobs" / job.name
    folder.mkdir(parents=True, exist_ok=True)
    step = job.request.step
    environment = {
        **keys,
        "FLYWHEEL_REQUEST": job.request.model_dump_json(by_alias=True, exclude_none=True),
        "FLYWHEEL_WORKSPACE": str(workspace),
        "FLYWHEEL_TERMINATION_LOG": str(folder / "result"),
        "FLYWHEEL_PROMPTS": str(programs.checkout / "prompts"),
    }
    does = getattr(fake_student if step in ML_STEPS else importlib.import_module(f"flywheel.steps.{step}"), _name(step))
    before = signal.getsignal(signal.SIGTERM)
    (folder / "log").touch()
    try:
        with patch.dict(os.environ, environment):
            program.run(does)
    except SystemExit as ended:
        process: Any = _Ended(int(str(ended.code)))
        return Process(job, folder, now, process)
    finally:
        signal.signal(signal.SIGTERM, before)
    raise AssertionError("a step's program ends with an exit code")


def _name(step: str) -> str:
    return "measure" if step in ("validate", "test") else step


def finished_run(folder: Path, iterations: int = 2, control: bool = False) -> Path:
    """The workspace of `local/severity-run` and, where wanted, of its control."""
    (folder / "datasets").mkdir(parents=True)
    shutil.copy(SAMPLES / "findings.jsonl", folder / "datasets/findings.jsonl")
    text, label = {"type": "string"}, {"enum": LABELS}
    task = {
        "instructions": "Rate the severity of the issue that the review describes.",
        "inputSchema": {"type": "object", "properties": {"code": text, "review": text}, "required": ["code", "review"]},
        "outputSchema": {"type": "object", "properties": {"issue_type": label}, "required": ["issue_type"]},
        "label": {"path": "issue_type", "order": LABELS},
    }
    source = {"name": "findings", "truth": "Rule", "group": "file", "dataset": {"path": "datasets/findings.jsonl"}}
    data = curriculum_spec() | {"task": task, "sources": [source], "pools": {"key": "tests", "ratios": _RATIOS}}
    learned = Curriculum.model_validate({"metadata": metadata("severity"), "spec": data})
    home = folder / "work"
    home.mkdir()
    with rehearsal_teacher(ROOT, home / "requests.jsonl", SAMPLES / "stock.jsonl") as teacher:
        spec = {
            "curriculumRef": {"name": "severity"},
            "student": {"model": {"persistentVolumeClaim": {"claimName": "models", "path": "student"}}},
            "teacher": {"baseURL": teacher.base_url, "model": "rehearsal", "secretRef": {"name": "teacher"}},
            "exam": {"questions": 12, "examples": 20},
            "training": {"epochs": 1},
            "stop": {"maxIterations": iterations},
        }
        run = FlywheelRun.model_validate({"metadata": metadata("severity-run"), "spec": spec})
        keys = key_environment(teacher.key, "127.0.0.1")
        with patch.object(local_run, "start", _start), patch.object(local_run, "POLL_SECONDS", 0):
            for one in [run, as_control(run)] if control else [run]:
                LocalRun(learned, one, folder, home, Programs(ROOT, Path(sys.executable)), keys).drive(lambda *_: None)
    return home
