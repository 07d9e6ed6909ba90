"""The real operator: in a thread of this process, or as the process that its pod runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bed_control_plane import ROOT, ControlPlane, die_with_parent, free_port

from flywheel.controller.health import Health
from flywheel.controller.main import operate
from flywheel.controller.metrics import Metrics
from flywheel.controller.settings import Settings

IMAGES = {
    "operator": "registry.example/operator:1",
    "student": "registry.example/student:1",
    "trainer": "registry.example/trainer:1",
}


def client_for(kubeconfig: Path) -> Any:
    """The official client with a kubeconfig."""
    from kubernetes import client, config

    settings = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=settings)
    settings.retries = 0
    settings.connection_pool_maxsize = 32
    return client.ApiClient(settings)


def _dead(*_: object, **__: object) -> None:
    raise OSError("this operator is dead")


class ThreadedOperator:
    """kopf and everything else of ours in a thread with its own event loop."""

    def __init__(self, plane: ControlPlane, namespaces: tuple[str, ...] = (), kubeconfig: Path | None = None) -> None:
        self.metrics, self.health = Metrics(), Health()
        template = (ROOT / "prompts" / "task.j2").read_text()
        self.settings = Settings(images=IMAGES, template=template, namespaces=namespaces, audit_seconds=5.0)
        self._kubeconfig = kubeconfig or plane.operator
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self._ready = threading.Event()

    def start(self) -> None:
        """Returns at once; what it does shows in the cluster."""
        self._thread.start()
        self._ready.wait(10)

    def crash(self) -> None:
        """From now on none of its requests gets through, as if it were dead; then it is taken down."""
        assert self._client is not None
        self._client.call_api = _dead
        self.stop()

    def stop(self) -> None:
        """As SIGTERM would."""
        assert self._loop is not None and self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._operate())

    async def _operate(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        self._client = client_for(self._kubeconfig)
        await operate(self.settings, self._client, self.health, self.metrics, self._stop)


class OperatorProcess:
    """`python -m flywheel.controller.main`, as in its pod."""

    def __init__(self, plane: ControlPlane, namespace: str, log: Path) -> None:
        self.port = free_port()
        self._env: Mapping[str, str] = {
            **os.environ,
            "KUBECONFIG": str(plane.operator),
            "FLYWHEEL_NAMESPACES": namespace,
            "FLYWHEEL_PORT": str(self.port),
            "FLYWHEEL_PROMPTS": str(ROOT / "prompts"),
            "PYTHONPATH": str(ROOT / "operator"),
            **{f"FLYWHEEL_IMAGE_{name.upper()}": image for name, image in IMAGES.items()},
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "flywheel.controller.main"]
            self._process = subprocess.Popen(
                command, env=self._env, stdout=log, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
            )

    def kill(self) -> None:
        """SIGKILL: no chance to clean up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)
