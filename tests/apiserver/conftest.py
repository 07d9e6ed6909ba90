"""One control plane for all tests here; a namespace, a scripted node and an operator for each."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from bed_control_plane import ROOT, ControlPlane, start  # noqa: E402
from bed_node import Node, Stage  # noqa: E402
from bed_operator import ThreadedOperator, client_for  # noqa: E402
from bed_rig import Rig  # noqa: E402

from flywheel.controller import reconcile_deployment  # noqa: E402
from flywheel.controller.client import Api, Bucket  # noqa: E402
from flywheel.controller.metrics import Metrics  # noqa: E402
from flywheel.controller.resources import JOB, RUN, Resource  # noqa: E402

LONGEST = ("test_mutations.py", "test_faults.py", "test_hints.py")  # minutes each, and few tests
WAIT_SECONDS = 240  # a patient limit: machines are slow when busy
Object = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: two processes share the files, and neither is left alone with one at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The control plane with our CRDs and the operator's rights."""
    yield from with_operator(tmp_path_factory.mktemp("plane"))


def with_operator(folder: Path) -> Iterator[ControlPlane]:
    """A control plane with what our chart brings."""
    for running in start(folder):
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        running.kubectl("apply", "--server-side", "-f", str(ROOT / "charts/kustomize/base/operator.yaml"))
        running.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        yield running


@pytest.fixture(scope="session")
def api(plane: ControlPlane) -> Api:
    """Requests as admin."""
    return as_admin(plane)


def as_admin(plane: ControlPlane) -> Api:
    """A client that waits for nobody."""
    return Api(client_for(plane.admin), Metrics(), Bucket(rate=500, burst=500))


@dataclass
class Bed:
    """A namespace with a node; operators are started by tests."""

    plane: ControlPlane
    api: Api
    namespace: str
    node: Node
    operators: list[ThreadedOperator] = field(default_factory=list[ThreadedOperator])

    def operator(
        self,
        guard: Callable[[], None] = lambda: None,
        kubeconfig: Path | None = None,
        others: tuple[str, ...] = (),
    ) -> ThreadedOperator:
        """Start an operator for this namespace and perhaps others; its rights are of charts/ unless told."""
        started = ThreadedOperator(self.plane, (self.namespace, *others), guard, kubeconfig)
        self.operators.append(started)
        started.start()
        return started

    def apply(self, *resources: Object) -> None:
        """kubectl apply."""
        for resource in resources:
            self.plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(resource))

    def get(self, kind: Resource, name: str) -> Object:
        """An object that must be there."""
        found = self.api.get(kind, self.namespace, name)
        assert found is not None, f"no {kind.kind} {name}"
        return found

    def patch(self, kind: Resource, name: str, spec: Object) -> None:
        """Change a spec."""
        self.api.patch(kind, self.namespace, name, {"spec": spec})

    def jobs(self, step: str | None = None) -> list[Object]:
        """Jobs of the namespace, perhaps of one step."""
        found, _ = self.api.list(JOB, self.namespace)
        return [job for job in found if step in (None, job["metadata"]["labels"]["flywheel.dev/step"])]

    def attempts(self, stage: Stage) -> list[Object]:
        """Jobs of a run's step that are there now, by attempt."""
        owner, iteration, step = stage
        wanted = {"flywheel.dev/owner": owner, "flywheel.dev/iteration": str(iteration)}
        found = [job for job in self.jobs(step) if wanted.items() <= job["metadata"]["labels"].items()]
        return sorted(found, key=lambda job: int(job["metadata"]["labels"]["flywheel.dev/attempt"]))

    def started(self, stage: Stage, attempt: int | None = None) -> list[str]:
        """Pods of a run's step that were ever started."""
        owner, iteration, step = stage
        mark = f"-{iteration}-{step}-" + (f"{attempt}-" if attempt is not None else "")
        return [name for name in self.node.started if name.startswith(f"{owner}-") and mark in name]

    def until_started(self, stage: Stage, attempt: int = 1) -> str:
        """Wait until an attempt runs; its pod."""
        return self.until(f"{stage} attempt {attempt}", lambda: self.started(stage, attempt))[0]

    def until(self, what: str, check: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
        """Wait until the check gives something."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := check():
                return found
            time.sleep(0.1)
        story = self.plane.kubectl("-n", self.namespace, "get", "curr,fwr,adep,jobs,pods", "-o", "wide", check=False)
        raise AssertionError(f"{what} did not happen in {seconds} s:\n{story}")

    def condition(self, kind: Resource, name: str, type_: str) -> Object | None:
        """A condition of an object, or None."""
        status = (self.api.get(kind, self.namespace, name) or {}).get("status") or {}
        return next((entry for entry in status.get("conditions") or [] if entry["type"] == type_), None)

    def until_condition(self, kind: Resource, name: str, type_: str, reason: str, status: str = "True") -> Object:
        """Wait for a condition with this reason."""

        def check() -> Object | None:
            found = self.condition(kind, name, type_)
            return found if found is not None and (found["reason"], found["status"]) == (reason, status) else None

        return self.until(f"{kind.kind} {name} {type_}={status} {reason}", check)

    def until_completed(self, name: str = "first") -> Object:
        """Wait until a run is Completed; the run."""
        self.until(
            f"run {name} Completed", lambda: (self.condition(RUN, name, "Completed") or {}).get("status") == "True"
        )
        return self.get(RUN, name)

    def writes(self) -> list[dict[str, str]]:
        """The operator's writes in this namespace."""
        return [write for write in self.plane.writes() if write["namespace"] == self.namespace]


@contextmanager
def made_bed(plane: ControlPlane, api: Api, name: str) -> Iterator[Bed]:
    """A namespace of its own, with a scripted node."""
    namespace = re.sub("[^a-z0-9]+", "-", name.removeprefix("test_").lower())[:50].strip("-")
    plane.kubectl("create", "namespace", namespace)
    node = Node(as_admin(plane), namespace=namespace)
    node.start()
    made = Bed(plane, api, namespace, node)
    try:
        yield made
    finally:
        for operator in made.operators:
            operator.stop()
        node.stop()
        plane.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def rig(plane: ControlPlane, api: Api) -> Iterator[Rig]:
    """Tells stories with faults; their serving pods are in memory."""
    made = Rig(plane, api)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconcile_deployment, "look_at_all", made.serving.look_at_all)
        patch.setattr(reconcile_deployment, "perform", made.serving.perform)
        yield made


@pytest.fixture
def bed(plane: ControlPlane, api: Api, request: pytest.FixtureRequest) -> Iterator[Bed]:
    """A namespace of its own for each test."""
    with made_bed(plane, api, request.node.name) as made:
        yield made
