"""A real tritonserver, a tiny base model and adapters: for the tests here and for tests/bench/rollouts.py."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flywheel.serving.access import OPEN, Access
from flywheel.serving.errors import ServingError
from flywheel.serving.triton import TritonPod

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flywheel"
MODEL = "severity"
LABELS = ("critical", "trivial")
PATHS = [str(ROOT / "operator"), str(ROOT / "images/student"), str(ROOT / "images/triton")]
START_SECONDS = 180


class LackingError(Exception):
    """This machine lacks something that the server needs."""


@dataclass(frozen=True)
class Adapter:
    """An adapter that learned to say one label."""

    label: str
    digest: str
    folder: Path


@dataclass(frozen=True)
class Models:
    """What there is to serve."""

    home: Path
    adapters: dict[str, Adapter]


def ml_environment() -> Path:
    """Python with torch, transformers and PEFT."""
    python = CACHE / "ml/bin/python"
    if not python.exists():
        raise LackingError("the ML environment is missing: run images/ml-environment.sh")
    return python


def installed_server(python: Path) -> Path:
    """The server's folder."""
    home = CACHE / "triton"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "triton.lock").open("w") as alone:  # two test processes ask for it at once
        fcntl.flock(alone, fcntl.LOCK_EX)
        installed = subprocess.run(
            [ROOT / "images/triton/install-server.sh", home],
            env=os.environ | {"PYTHON": str(python)},
            capture_output=True,
            text=True,
            check=False,
        )
    if installed.returncode:
        raise LackingError(f"tritonserver cannot be installed here: {installed.stderr.strip()[-300:]}")
    return home / "pytriton/tritonserver"


def make_models(python: Path, home: Path) -> Models:
    """A base model that knows nothing, and an adapter for each label."""
    made = subprocess.run(
        [python, ROOT / "tests/serving/make_models.py", home, *LABELS],
        env=os.environ | {"PYTHONPATH": ":".join(PATHS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(made.stdout.splitlines()[-1])
    return Models(home, {label: Adapter(label, e["digest"], Path(e["folder"])) for label, e in found.items()})


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Server:
    """One server, as the image starts it. Several may share a repository."""

    def __init__(
        self,
        repository: Path,
        base: Path,
        triton: Path,
        python: Path,
        log: Path,
        options: Sequence[str] = (),
        access: Access = OPEN,
        names: Sequence[str] = (MODEL,),
    ) -> None:
        self.repository = repository
        self.names = tuple(names)
        self.base = base
        self.ports = {name: free_port() for name in ("HTTP", "GRPC", "METRICS")}
        self.address = f"127.0.0.1:{self.ports['GRPC']}"
        self.url = f"http://127.0.0.1:{self.ports['HTTP']}"
        self.log = log
        self._options, self._access = options, access
        self._triton = triton
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}  # what a test adds

    def start(self) -> None:
        environment = {
            **os.environ,
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
            "PATH": f"{self._python.parent}:/usr/bin:/bin",
            "PYTHONPATH": ":".join(PATHS),
            "MODEL_NAME": ",".join(self.names),
            "MODEL_REPOSITORY": str(self.repository),
            "BASE_MODEL": str(self.base),
            "TRITON_SERVER": str(self._triton),
            "HF_HUB_OFFLINE": "1",
            **self.environment,
        }
        with self.log.open("ab") as log:
            seed = [self._python, "-m", "flywheel_triton.seed"]
            subprocess.run(seed, env=environment, stdout=log, stderr=log, check=True)
            self._process = subprocess.Popen(
                [self._python, "-m", "flywheel_triton.serve", *self._options], env=environment, stdout=log, stderr=log
            )
        self._until_it_answers()

    def _until_it_answers(self) -> None:
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            self.must_live()
            try:
                with TritonPod(self.address, access=self._access) as pod:
                    pod.loaded()
                return
            except ServingError:
                time.sleep(0.2)
        raise AssertionError(f"tritonserver does not answer: {self._last_words()}")

    def must_live(self) -> None:
        """Says why, where the server has died: it may on a starved machine, and then no rollout is to blame."""
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"tritonserver died by itself: {self._last_words()}")

    def model_processes(self) -> list[int]:
        """Of every loaded model, one: children of the server."""
        assert self._process is not None
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it may have ended just now
                state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
                if int(parent) == self._process.pid and state != "Z":
                    found.append(int(path.parent.name))
        return found

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def _last_words(self) -> str:
        return self.log.read_text()[-3000:]
