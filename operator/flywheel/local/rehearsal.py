"""The rehearsal teacher as a local process. A stand-in: only ever started because the user asked for it by name."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 60


@dataclass(frozen=True)
class RehearsalTeacher:
    """Where it listens and the key it takes."""

    base_url: str
    key: str


@contextmanager
def rehearsal_teacher(checkout: Path, record: Path, stock: Path | None = None) -> Generator[RehearsalTeacher]:
    """Run it on a free port of this computer, with another stock where one is given. Raises TimeoutError."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    key = secrets.token_hex(16)
    folder = checkout / "examples" / "rehearsal-teacher"
    env = (
        os.environ
        | {
            "REHEARSAL_API_KEY": key,
            "REHEARSAL_LOG": str(record),
            "REHEARSAL_HOST": "127.0.0.1",
            "REHEARSAL_PORT": str(port),
        }
        | ({} if stock is None else {"REHEARSAL_STOCK": str(stock)})
    )
    with (record.parent / "rehearsal-teacher.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _await(f"http://127.0.0.1:{port}/healthz", process)
        yield RehearsalTeacher(f"http://127.0.0.1:{port}/v1", key)
    finally:
        process.terminate()
        process.wait()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(_START_SECONDS * 5):
        if process.poll() is not None:
            raise RuntimeError(f"the rehearsal teacher ended at once with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own process on this computer
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise TimeoutError("the rehearsal teacher did not answer within a minute")
