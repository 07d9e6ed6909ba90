"""The real operator: in a thread of this process, or as the process that its pod runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bed_control_plane import ROOT, ControlPlane
from processes import die_with_parent, free_port

from flywheel.controller.health import Health
from flywheel.controller.host import utc_now
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

    def __init__(
        self,
        plane: ControlPlane,
        namespaces: tuple[str, ...] = (),
        guard: Callable[[], None] = lambda: None,
        kubeconfig: Path | None = None,
        connect: Callable[[], Any] | None = None,
    ) -> None:
        self._guard = guard
        self.metrics, self.health = Metrics(), Health()
        template = (ROOT / "prompts" / "task.j2").read_text()
        self.settings = Settings(images=IMAGES, template=template, namespaces=namespaces, audit_seconds=5.0)
        self.ahead = timedelta()  # of the operator's clock; may change at any time
        self._connect = connect or (lambda: client_for(kubeconfig or plane.operator))
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
        self._client = self._connect()
        await operate(self.settings, self._client, self.health, self.metrics, self._guard, self._stop, self._now)

    def _now(self) -> datetime:
        return utc_now() + self.ahead


class OperatorProcess:
    """`python -m flywheel.controller.main`, as in its pod. `other`: the second replica."""

    def __init__(
        self, plane: ControlPlane, namespace: str, log: Path, other: bool = False, kubeconfig: Path | None = None
    ) -> None:
        self.port = free_port()
        self.pod = "other-operator" if other else "operator"  # also the uid of its user
        self._env: Mapping[str, str] = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or (plane.other_operator if other else plane.operator)),
            "POD_NAME": self.pod,
            "POD_NAMESPACE": "flywheel-system",
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
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it ends; its exit code."""
        assert self._process is not None
        return self._process.wait(30)

    def ended(self) -> bool:
        """Whether it runs no more, or never did."""
        return self._process is None or self._process.poll() is not None

    def answers(self, path: str) -> tuple[int, str]:
        """HTTP status and text of /healthz, /readyz or /metrics; 0 where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""
