"""The sidecar as a process of its own, before a real S3 server; and a step that has nothing but its socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from s3_server import KEY, SECRET, Server

from flywheel.api.conditions import Reason
from flywheel.api.result import StepResult, parse_result
from flywheel.api.workspace import S3
from flywheel.workspace.remote import RemoteError
from flywheel.workspace.sidecar import SOCKET, Sidecar, SidecarError, serve

ROOT = Path(__file__).parents[3]
OUTPUT = "runs/review/x-1/iter-1/exam/a1"
LEDGER = "ledger/review/aa/aa.reply.json"
STEP = f"""
import sys
from flywheel.api.result import ExamFigures
from flywheel.workspace.program import run

def step(attempt):
    attempt.workspace.write_bytes({LEDGER!r}, b"paid")
    attempt.workspace.write_bytes(attempt.path("exam.jsonl"), b"[]")
    result = attempt.seal(ExamFigures(questions=1))
    assert "obstore" not in sys.modules, "GPU images have no S3 library"
    return result

run(step)
"""


@pytest.fixture
def pod() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # a socket's path has room for 107 bytes
        yield Path(folder)


def request() -> str:
    parameters = {"step": "exam", "teacher": {"baseUrl": "http://t/v1", "model": "m"}, "questions": 1}
    fields = {"namespace": "review", "owner": "x", "attempt": 1, "output": OUTPUT, "alsoWritable": ["ledger/review"]}
    return json.dumps({**fields, "parameters": parameters})


def environment(pod: Path, **more: str) -> dict[str, str]:
    common = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), "LC_ALL": "C"}
    return {**common, "FLYWHEEL_REQUEST": request(), "FLYWHEEL_WORKSPACE": str(pod), **more}


@contextmanager
def sidecar(pod: Path, place: S3, **secret: str) -> Iterator[subprocess.Popen[str]]:
    keys = {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": f"{SECRET}\n", "HOSTS": "localhost, 127.0.0.1"} | secret
    said = {
        "FLYWHEEL_SOCKET": str(pod / SOCKET),
        "FLYWHEEL_S3": place.model_dump_json(by_alias=True, exclude_none=True),
    }
    env = environment(pod, **said, **{f"FLYWHEEL_S3_{name}": value for name, value in keys.items()})
    command = [sys.executable, "-m", "flywheel.workspace.sidecar"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ran(pod: Path) -> tuple[int, StepResult, str]:
    message = pod / ".message"
    env = environment(pod, FLYWHEEL_SIDECAR=str(pod / SOCKET), FLYWHEEL_TERMINATION_LOG=str(message))
    done = subprocess.run([sys.executable, "-c", STEP], env=env, capture_output=True, text=True, check=False)
    result = parse_result(message.read_text())
    assert result is not None, done.stdout + done.stderr
    return done.returncode, result, done.stdout + done.stderr


def test_a_step_and_its_sidecar(s3: Server, pod: Path) -> None:
    place = s3.place()
    with sidecar(pod, place) as process:
        code, result, log = ran(pod)
        assert (code, result.error) == (0, None), log
        objects = s3.files(place)
        assert (objects / LEDGER).read_bytes() == b"paid"
        assert (objects / OUTPUT / "manifest.json").exists() and len(list((objects / OUTPUT).iterdir())) == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, "a Job is done when its sidecar ends well"


@pytest.mark.parametrize(
    ("changes", "secret", "reason", "words"),
    [
        ({"bucket": "nowhere"}, {}, "BucketMissing", "there is no bucket nowhere at http://127.0.0.1"),
        ({}, {"SECRET_ACCESS_KEY": "hunter2"}, "WorkspaceKeyRefused", "Secret bucket"),
        ({}, {"ACCESS_KEY_ID": "hunter2"}, "WorkspaceKeyRefused", "Secret bucket"),
        (
            {},
            {"HOSTS": "s3.example.com"},
            "WorkspaceSecret",
            "127.0.0.1 of workspace.s3.endpoint is not among the hosts of its Secret",
        ),
        ({}, {"HOSTS": " "}, "WorkspaceSecret", "accessKeyId, secretAccessKey and hosts"),
        ({}, {"ACCESS_KEY_ID": ""}, "WorkspaceSecret", "accessKeyId, secretAccessKey and hosts"),
    ],
)
def test_what_people_can_mend_is_said_and_the_step_is_tried_later(
    s3: Server, pod: Path, changes: dict[str, Any], secret: dict[str, str], reason: str, words: str
) -> None:
    place = s3.place().model_copy(update=changes)
    with sidecar(pod, place, **secret) as process:
        code, result, log = ran(pod)
        process.terminate()
        log += process.communicate()[0]
    assert result.error is not None
    assert (code, result.error.reason) == (75, reason)
    assert words in result.error.message
    assert "hunter2" not in result.error.message + log and SECRET not in log


def test_a_sidecar_that_is_killed_is_asked_again(pod: Path) -> None:
    asked: list[str] = []

    def do(operation: str, *paths: str) -> int:
        asked.append(operation)
        return len(paths)

    dead = serve(pod / SOCKET, do)
    dead.server_close()  # its socket is still there, and nobody answers
    server = serve(pod / SOCKET, do)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert Sidecar(pod / SOCKET)("put", "a", "b") == 2
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(RemoteError, match="sidecar does not answer") as refused:
        Sidecar(pod / SOCKET, wait=0)("put", "a")
    assert refused.value.reason is Reason.WORKSPACE_UNAVAILABLE
    assert asked == ["put"]


def test_what_the_sidecar_cannot_do_fails_the_step(pod: Path) -> None:
    def do(operation: str, *paths: str) -> None:
        raise OSError(f"hunter2 {operation} {paths}")

    server = serve(pod / SOCKET, do)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(SidecarError, match="put: OSError") as failed:
            Sidecar(pod / SOCKET)("put", "a")
        assert "hunter2" not in str(failed.value)
    finally:
        server.shutdown()
        server.server_close()
