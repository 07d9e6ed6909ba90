"""A real tritonserver, a tiny base model and adapters. What this machine lacks is said, and the tests are skipped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flywheel.serving.errors import ServingError
from flywheel.serving.triton import TritonPod

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flywheel"
MODEL = "severity"
LABELS = ("critical", "trivial")
PATHS = [str(ROOT / "operator"), str(ROOT / "images/student"), str(ROOT / "images/triton")]
START_SECONDS = 180


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


@pytest.fixture(scope="session")
def ml_python() -> Path:
    """Python with torch, transformers and PEFT."""
    python = CACHE / "ml/bin/python"
    if not python.exists():
        pytest.skip("the ML environment is missing: run images/ml-environment.sh")
    return python


@pytest.fixture(scope="session")
def triton(ml_python: Path) -> Path:
    """An installed server."""
    home = CACHE / "triton"
    installed = subprocess.run(
        [ROOT / "images/triton/install-server.sh", home],
        env=os.environ | {"PYTHON": str(ml_python)},
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        pytest.skip(f"tritonserver cannot be installed here: {installed.stderr.strip()[-300:]}")
    return home / "pytriton/tritonserver"


@pytest.fixture(scope="session")
def models(ml_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A base model that knows nothing, and an adapter for each label."""
    home = tmp_path_factory.mktemp("models")
    made = subprocess.run(
        [ml_python, ROOT / "tests/serving/make_models.py", home, *LABELS],
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
    """One server, as the image starts it."""

    def __init__(self, repository: Path, base: Path, triton: Path, python: Path, log: Path) -> None:
        self.repository = repository
        self.base = base
        self.ports = {name: free_port() for name in ("HTTP", "GRPC", "METRICS")}
        self.address = f"127.0.0.1:{self.ports['GRPC']}"
        self.log = log
        self._triton = triton
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ,
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
            "PATH": f"{self._python.parent}:/usr/bin:/bin",
            "PYTHONPATH": ":".join(PATHS),
            "MODEL_NAME": MODEL,
            "MODEL_REPOSITORY": str(self.repository),
            "BASE_MODEL": str(self.base),
            "TRITON_SERVER": str(self._triton),
            "HF_HUB_OFFLINE": "1",
        }
        with self.log.open("ab") as log:
            seed = [self._python, "-m", "flywheel_triton.seed"]
            subprocess.run(seed, env=environment, stdout=log, stderr=log, check=True)
            self._process = subprocess.Popen(
                [self._python, "-m", "flywheel_triton.serve"], env=environment, stdout=log, stderr=log
            )
        self._until_it_answers(self._process)

    def _until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if process.poll() is not None:
                pytest.fail(f"tritonserver ended with {process.returncode}: {self.log.read_text()[-3000:]}")
            try:
                with TritonPod(self.address) as pod:
                    pod.loaded()
                return
            except ServingError:
                time.sleep(0.2)
        pytest.fail(f"tritonserver does not answer: {self.log.read_text()[-3000:]}")

    def must_live(self) -> None:
        """Says why, where the server has died: it may on a starved machine, and then no rollout is to blame."""
        if self._process is None or self._process.poll() is not None:
            pytest.fail(f"tritonserver died by itself: {self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None


@pytest.fixture
def server(models: Models, triton: Path, ml_python: Path, tmp_path: Path) -> Iterator[Callable[[Path | None], Server]]:
    """Starts servers on a repository; they are stopped with the test."""
    started: list[Server] = []

    def start(base: Path | None = None) -> Server:
        repository = tmp_path / f"repository{len(started)}"
        repository.mkdir()
        one = Server(repository, base or models.home / "base", triton, ml_python, tmp_path / f"log{len(started)}")
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()
        shutil.rmtree(one.repository)
