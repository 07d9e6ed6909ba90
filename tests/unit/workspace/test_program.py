"""A tiny step as a real process: exit codes, termination message, manifest last, SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import digest

from flywheel.api.result import MAX_RESULT_BYTES, StepResult, parse_result
from flywheel.workspace import program
from flywheel.workspace.manifest import read_manifest
from flywheel.workspace.store import Workspace

ROOT = Path(__file__).parents[3]
STEP = """
import errno, os, signal, sys
from pathlib import Path
from flywheel.api.result import ExamFigures, StepResult, VerifyFigures
from flywheel.workspace.program import BadInputError, FruitlessError, TryLaterError, run

def step(attempt):
    attempt.workspace.write_bytes(attempt.path("exam.jsonl"), b"{}")
    how = os.environ["HOW"]
    if how == "bad": raise BadInputError("wo\\u5b57" * 300, "EmptySource")
    if how == "later": raise TryLaterError("the teacher refused the key", "TeacherKeyRefused")
    if how == "fruitless": raise FruitlessError("no reply could be read", "Unreadable")
    if how == "crash": raise RuntimeError("hunter2")
    if how == "memory": raise MemoryError
    if how.startswith("E"):
        code, _, file = how.partition(" ")
        path = Path(os.environ["FLYWHEEL_WORKSPACE"]) / file if file else None
        error = OSError(getattr(errno, code), "hunter2", *([str(path)] if path else []))
        if file == "chained": raise RuntimeError("cannot serialize") from error
        raise error
    if how == "term": os.kill(os.getpid(), signal.SIGTERM)
    if how == "huge":
        agreed = {f"10.0.0.{n}:8001": 1 for n in range(100)}
        return attempt.seal(VerifyFigures(probes=1, agreed=agreed, passed=True))
    attempt.workspace.write_bytes(attempt.path("checkpoints/x"), b"scratch")
    return attempt.seal(ExamFigures(questions=4))

run(step)
"""


def request(**changes: Any) -> dict[str, Any]:
    parameters = {"step": "exam", "teacher": {"baseUrl": "http://t/v1", "model": "m"}, "questions": 4}
    output = "runs/review/run-1/iter-1/exam/a1"
    return {"namespace": "review", "owner": "run", "attempt": 1, "output": output, "parameters": parameters} | changes


def ran(tmp_path: Path, how: str, asked: str | None) -> tuple[int, StepResult | None, str]:
    message = tmp_path / "message"
    env = {
        "HOW": how,
        "PYTHONPATH": str(ROOT / "operator"),
        "FLYWHEEL_WORKSPACE": str(tmp_path / "workspace"),
        "FLYWHEEL_TERMINATION_LOG": str(message),
        "PATH": os.environ["PATH"],
        "LC_ALL": "C",
    } | ({"FLYWHEEL_REQUEST": asked} if asked is not None else {})
    done = subprocess.run([sys.executable, "-c", STEP], env=env, capture_output=True, text=True, check=False)
    text = message.read_text(encoding="utf-8") if message.exists() else ""
    assert len(text.encode()) <= MAX_RESULT_BYTES
    return done.returncode, parse_result(text), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("bad", 64, "EmptySource"),
        ("later", 75, "TeacherKeyRefused"),
        ("fruitless", 1, "Unreadable"),
        ("crash", 1, "StepFailed"),
        ("memory", 1, "OutOfMemory"),
        ("huge", 1, "StepFailed"),
    ],
)
def test_how_a_step_ends(tmp_path: Path, how: str, code: int, reason: str) -> None:
    ended, result, _ = ran(tmp_path, how, json.dumps(request()))
    assert ended == code
    assert result is not None and result.error is not None and result.figures is None
    assert result.error.reason == reason and result.error.message
    assert "hunter2" not in result.error.message


@pytest.mark.parametrize(
    ("how", "code", "reason", "words"),
    [
        ("ENOSPC", 75, "VolumeFull", "the workspace is full: enlarge it"),  # a failed write names no file
        ("ENOSPC runs/x", 75, "VolumeFull", "the workspace is full"),
        ("ENOSPC chained", 75, "VolumeFull", "the workspace is full"),
        ("ENOSPC /dev/shm/x", 75, "VolumeFull", "the volume of /dev/shm is full"),
        ("EDQUOT runs/x", 75, "VolumeFull", "raise its quota"),
        ("EROFS runs/x", 75, "VolumeReadOnly", "mounted read-write"),
        ("EACCES runs/x", 75, "VolumeReadOnly", "open to group"),
        ("EROFS /opt/venv/x", 1, "StepFailed", "OSError"),  # of the image: no wait mends it
        ("EACCES", 1, "StepFailed", "PermissionError"),
        ("EIO runs/x", 1, "StepFailed", "OSError"),
    ],
)
def test_a_volume_that_is_full_or_read_only_is_waited_for(
    tmp_path: Path, how: str, code: int, reason: str, words: str
) -> None:
    ended, result, _ = ran(tmp_path, how, json.dumps(request()))
    assert result is not None and result.error is not None
    assert (ended, result.error.reason) == (code, reason)
    assert words in result.error.message and "hunter2" not in result.error.message


def test_a_step_that_is_done_leaves_its_manifest_and_its_result(tmp_path: Path) -> None:
    code, result, _ = ran(tmp_path, "done", json.dumps(request()))
    manifest, found = read_manifest(Workspace(tmp_path / "workspace"), request()["output"])
    assert code == 0 and result is not None
    assert (result.manifest, result.figures) == (found, manifest.figures)
    paths = [file.path for file in manifest.files]
    assert paths == ["exam.jsonl", "request.json"], "checkpoints are scratch"
    assert (manifest.step, manifest.owner, manifest.attempt) == ("exam", "run", 1)


def test_a_step_that_is_terminated_says_so_and_leaves_no_manifest(tmp_path: Path) -> None:
    code, result, _ = ran(tmp_path, "term", json.dumps(request()))
    assert (code, result) == (128 + signal.SIGTERM, None)
    assert not (tmp_path / "workspace" / request()["output"] / "manifest.json").exists()


WRONG_INPUT = request(inputs=[{"name": "exam", "path": "runs/nowhere", "digest": digest("x")}])


@pytest.mark.parametrize(
    "asked", [None, "", "{}", "not json", json.dumps(request(more=1)), json.dumps(request(output="../x"))]
)
def test_a_request_that_cannot_be_read_is_bad_input(tmp_path: Path, asked: str | None) -> None:
    code, result, log = ran(tmp_path, "done", asked)
    assert code == 64 and result is not None and result.error is not None
    assert "FLYWHEEL_REQUEST" in result.error.message and "FLYWHEEL_REQUEST" in log


def test_inputs_are_checked_before_anything_is_done(tmp_path: Path) -> None:
    code, result, _ = ran(tmp_path, "done", json.dumps(WRONG_INPUT))
    assert code == 64 and result is not None and result.error is not None
    assert "never finished" in result.error.message
    assert not (tmp_path / "workspace" / request()["output"]).exists()


@given(st.text(max_size=500), st.text(max_size=100))
def test_whatever_an_error_says_there_is_room_for_it(message: str, reason: str) -> None:
    text = program._failure(reason, message).to_message()
    result = parse_result(text)
    assert len(text.encode()) <= MAX_RESULT_BYTES
    assert result is not None and result.error is not None


def test_the_worst_words_fit() -> None:
    for char in ("\x00", '"', "\\", "字", "😀", "\udcff"):
        assert len(program._failure("R" * 100, char * 500).to_message().encode()) <= MAX_RESULT_BYTES
