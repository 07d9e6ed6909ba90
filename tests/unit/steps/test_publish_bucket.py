"""publish before servers that read a bucket, with the programs that pods run: its sidecar, the seed, and the pull."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from processes import free_port
from s3_server import KEY, SECRET, Server

from flywheel.api.request import StepRequest
from flywheel.api.workspace import S3
from flywheel.workspace.pull import copy_of
from flywheel.workspace.served import Served
from flywheel.workspace.staging import ForbiddenError

ROOT = Path(__file__).parents[3]


def environment(place: S3, name: str = "", **more: str) -> dict[str, str]:
    prefix, said = f"FLYWHEEL_{name or 'S3'}", place.model_dump_json(by_alias=True, exclude_none=True)
    keys = {f"{prefix}_ACCESS_KEY_ID": KEY, f"{prefix}_SECRET_ACCESS_KEY": SECRET, f"{prefix}_HOSTS": "127.0.0.1"}
    common = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator"), "LC_ALL": "C", "PYTHONUNBUFFERED": "1"}
    return {**common, **keys, f"FLYWHEEL_{name}_S3" if name else "FLYWHEEL_S3": said, **more}


@contextmanager
def program(name: str, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", f"flywheel.workspace.{name}"], env=env, stdout=stream, stderr=stream
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    home = Path(mkdtemp())  # a socket's path has room for 107 bytes
    yield home
    shutil.rmtree(home)


def published(shop: Any, place: S3, folder: Path, monkeypatch: pytest.MonkeyPatch, *phase: str) -> Any:
    """In a pod of its own: an empty folder, and a sidecar."""
    shop.repository = Path(mkdtemp(dir=folder))
    path = folder / ".sidecar"
    parameters = {"phase": "stage", "adapterDigest": shop.digest, "repositoryPath": str(shop.repository)}
    parameters |= {"model": "severity", "candidateModel": "c", "run": "r", "runIteration": 1, "step": "publish"}
    request = {"namespace": "review", "owner": "x", "attempt": 1, "output": "adapters/review", "parameters": parameters}
    said = {"FLYWHEEL_REQUEST": json.dumps(request), "FLYWHEEL_WORKSPACE": "/none", "FLYWHEEL_SOCKET": str(path)}
    monkeypatch.setenv("FLYWHEEL_REPOSITORY", str(path))
    with program("sidecar", environment(place, "REPOSITORY", **said), folder / "log"):
        return shop.publish(*phase)


def seed(place: S3, model: Path) -> subprocess.CompletedProcess[str]:
    env = environment(place, FLYWHEEL_FOLDER=str(model))
    command = [sys.executable, "-m", "flywheel.workspace.seed"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_pod_gets_what_was_published(shop: Any, s3: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, pod, model = s3.place(), folder / "pod", shop.repository
    pod.mkdir()
    early = published(shop, place, folder, monkeypatch)
    assert (early.code, early.result.error.reason) == (75, "TargetUnavailable") and "seed" in early.log
    assert seed(place, model).returncode == 0
    port = free_port("")
    env = environment(place, FLYWHEEL_FOLDER=str(pod), FLYWHEEL_PORT=str(port))
    with program("pull", env, folder / "log") as pull:
        until(lambda: listens(port))
        assert [path.name for path in pod.iterdir()] == ["severity"], "the port is there when the files are"
        for phase, where in (("stage", "severity-cand-12345678"), ("commit", "severity")):
            ran = published(shop, place, folder, monkeypatch, phase)
            assert ran.code == 0, ran.log
            until(lambda where=where: shop.digest in read(pod / where / "config.pbtxt"))
            assert (pod / ".adapters" / shop.digest.replace(":", "-") / "adapter_model.safetensors").exists()
        pull.send_signal(signal.SIGTERM)
        assert pull.wait(10) == 0, "a pod ends at once when it is asked to"
    log = (folder / "log").read_text()
    assert "the folder holds revision 3" in log and SECRET not in log


def test_what_is_wrong_with_the_bucket_is_said_of_the_target(
    shop: Any, s3: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = s3.place()
    for change, reason, words in (
        ({"bucket": "nowhere"}, "BucketMissing", "there is no bucket nowhere"),
        ({"endpoint": "http://localhost:1"}, "TargetUnavailable", "of target's repository.s3.endpoint is not among"),
    ):
        ran = published(shop, place.model_copy(update=change), folder, monkeypatch)
        assert (ran.code, ran.result.error.reason) == (75, reason)
        assert words in ran.result.error.message
    said = seed(place.model_copy(update={"bucket": "nowhere"}), shop.repository)
    assert said.returncode == 1 and said.stderr.strip().startswith("there is no bucket nowhere")


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"FLYWHEEL_S3": "{}"}, "FLYWHEEL_S3 must be the place as JSON"),
        ({"FLYWHEEL_S3_HOSTS": "s3.example.com"}, "host 127.0.0.1 of FLYWHEEL_S3.endpoint is not among the hosts"),
        ({"FLYWHEEL_S3_ACCESS_KEY_ID": ""}, "needs the keys accessKeyId, secretAccessKey and hosts"),
    ],
)
def test_a_pod_s_container_that_is_set_up_wrongly_says_so(change: dict[str, str], words: str) -> None:
    place = S3.model_validate({"endpoint": "http://127.0.0.1:1", "bucket": "models", "secretRef": {"name": "k"}})
    with pytest.raises(SystemExit, match=words) as said:
        copy_of(environment(place, FLYWHEEL_FOLDER="/models") | change, "read and list")
    assert SECRET not in str(said.value)


def test_no_other_step_reaches_what_servers_read() -> None:
    exam = {"step": "exam", "teacher": {"baseUrl": "http://t/v1", "model": "m"}, "questions": 1}
    fields = {"namespace": "review", "owner": "x", "attempt": 1, "output": "runs/x", "parameters": exam}
    with pytest.raises(ForbiddenError, match="step exam"):
        Served(StepRequest.model_validate(fields), {})
