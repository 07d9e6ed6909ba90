"""The operator under many runs: `python tests/bench/scale.py [RUNS ...]`, else 100, 300 and 1000.

A real etcd and kube-apiserver, the operator as the process that its pod runs, and no node. One run is led by the real
operator until its training runs: a run, 5 Jobs and their 5 pods, copied for all others (Jobs with managedBy, which the
Job controller leaves alone). Then, for each number of runs:

- cold start: from exec until /readyz is green, and until every run was looked at;
- at rest: RSS, and CPU of one core over a minute, by the process's own metrics;
- latency: twice a second the training of a run ends (its pod's status is written, as a kubelet does); seconds from that
  write's answer until a watch of ours sees the run's status at its next step.

Everything shares this machine, so latencies hold the API server's and this program's own time.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parents[1] / room) for room in ("apiserver", "unit/support"))

from bed_control_plane import ControlPlane
from bed_node import HOLD, Ending, Node, Stages
from bed_operator import OperatorProcess, client_for
from bed_resources import curriculum, run
from kubernetes import watch as kubernetes_watch
from kubernetes.client import CustomObjectsApi
from urllib3.exceptions import ProtocolError

from conftest import Bed, as_admin, with_operator
from flywheel.controller.client import Api
from flywheel.controller.labels import OWNER_UID
from flywheel.controller.resources import JOB, POD, RUN, Resource

SIZES = (100, 300, 1000)
ENDS, EVERY_SECONDS, REST_SECONDS = 100, 0.5, 60.0  # within a minute everything is listed once
NAMESPACE, PATTERN = "bench", "pattern"
TRAINING = (PATTERN, 1, "train")
Object = dict[str, Any]
_SERVERS = ("resourceVersion", "uid", "creationTimestamp", "managedFields", "generation", "selfLink")
_AT_ONCE = 8


class Pattern:
    """One run with its Jobs and pods, as the real operator left it; and copies of it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        (self._run,) = api.list(RUN, NAMESPACE)[0]
        self._jobs, self._pods = (api.list(kind, NAMESPACE, OWNER_UID)[0] for kind in (JOB, POD))
        self._jobs = [job for job in self._jobs if job["metadata"]["name"].startswith(PATTERN)]
        self._pods = [pod for pod in self._pods if pod["metadata"]["name"].startswith(PATTERN)]

    @property
    def objects(self) -> int:
        """Of one run."""
        return 1 + len(self._jobs) + len(self._pods)

    def copy(self, number: int) -> None:
        """Another run like it, with all that it owns."""
        name, old = f"run-{number:05}", self._run["metadata"]["uid"]
        made = self._make(RUN, self._run, {PATTERN: name})
        names = {old: made["metadata"]["uid"], old[:5]: made["metadata"]["uid"][:5], PATTERN: name}
        for job in self._jobs:
            created = self._make(JOB, job, names)
            uids = {job["metadata"]["uid"]: created["metadata"]["uid"]}
            for pod in self._pods:
                if any(owner["uid"] in uids for owner in pod["metadata"]["ownerReferences"]):
                    self._make(POD, pod, names | uids)

    def _make(self, kind: Resource, item: Object, names: dict[str, str]) -> Object:
        text = json.dumps(item)
        for old, new in names.items():
            text = text.replace(old, new)
        body: Object = json.loads(text)
        body |= {"apiVersion": kind.api_version, "kind": kind.kind}
        for field in _SERVERS:
            body["metadata"].pop(field, None)
        if kind == JOB:
            body["spec"] |= {"managedBy": "flywheel.dev/bench"}
            body["spec"].pop("selector", None)
            for label in [key for key in body["spec"]["template"]["metadata"]["labels"] if "controller-uid" in key]:
                del body["spec"]["template"]["metadata"]["labels"][label]
        if kind == POD:
            body["spec"]["nodeName"] = "scripted"
        status = body.pop("status", None)
        made = self._api.create(kind, NAMESPACE, body)
        path = kind.path(NAMESPACE, made["metadata"]["name"]) + "/status"
        merge = "application/merge-patch+json"
        return self._api._json("patch", "PATCH", kind, path, None, {"status": status}, merge)


class Ends:
    """Ends trainings, and takes the time until the run's status tells of it."""

    def __init__(self, plane: ControlPlane, api: Api) -> None:
        self._api, self._client = api, client_for(plane.admin)
        self._node = Node(api, NAMESPACE, script=lambda _request: Ending())
        self._moved: dict[str, float] = {}
        self._watch = kubernetes_watch.Watch()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        resource = (RUN.group, RUN.version, NAMESPACE, RUN.plural)
        with suppress(ProtocolError):  # the API server is stopped last, which ends the watch
            for event in self._watch.stream(CustomObjectsApi(self._client).list_namespaced_custom_object, *resource):
                item: Object = event["object"]
                if (item.get("status") or {}).get("step") not in (None, "train"):
                    self._moved.setdefault(item["metadata"]["name"], time.monotonic())

    def latencies(self, names: list[str]) -> list[float]:
        """Seconds for each of these runs."""
        pods = {pod["metadata"]["name"]: pod for pod in self._api.list(POD, NAMESPACE, OWNER_UID)[0]}
        ended: dict[str, float] = {}
        for number, name in enumerate(names):
            (pod,) = (pod for key, pod in pods.items() if key.startswith(f"{name}-") and "-train-" in key)
            due = time.monotonic() + EVERY_SECONDS
            assert self._node._end(pod, Ending())
            ended[name] = time.monotonic()
            print(f"\r  trainings ended: {number + 1} of {len(names)}", end="", flush=True)
            time.sleep(max(0.0, due - time.monotonic()))
        print()
        until(60, "every run at its next step", lambda: ended.keys() <= self._moved.keys())
        return [self._moved[name] - at for name, at in ended.items()]


class Operator:
    """The process under measurement."""

    def __init__(self, plane: ControlPlane, log: Path) -> None:
        self.process = OperatorProcess(plane, NAMESPACE, log)

    def start(self, runs: int) -> tuple[float, float]:
        """Seconds until ready, and until every run was looked at."""
        begun = time.monotonic()
        self.process.start()
        until(240, "readiness", lambda: self.process.answers("readyz")[0] == 200)
        ready = time.monotonic() - begun
        looked = 'controller_runtime_reconcile_total{controller="FlywheelRun"'
        until(240, "a look at every run", lambda: self.total(looked) >= runs)
        return ready, time.monotonic() - begun

    def total(self, series: str) -> float:
        """Sum of all series that begin so."""
        text = self.process.answers("metrics")[1]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(series))

    @contextmanager
    def cpu(self) -> Iterator[list[float]]:
        """Percent of one core, while it lasts."""
        used, begun, found = self.total("process_cpu_seconds_total"), time.monotonic(), [0.0]
        yield found
        found[0] = 100 * (self.total("process_cpu_seconds_total") - used) / (time.monotonic() - begun)


def until(seconds: float, what: str, check: Any) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not come in {seconds} s")
        time.sleep(0.05)


def lead_one(plane: ControlPlane, api: Api) -> Pattern:
    """Let the real operator bring one run to its training."""
    plane.kubectl("create", "namespace", NAMESPACE)
    bed = Bed(plane, api, NAMESPACE, Node(api, NAMESPACE, script=Stages({TRAINING: HOLD})))
    bed.node.start()
    operator = bed.operator()
    bed.apply(curriculum(NAMESPACE), run(NAMESPACE, PATTERN))
    bed.until("it to be told that training runs", lambda: _runs_training(bed))
    operator.stop()
    bed.node.stop()
    return Pattern(api)


def _runs_training(bed: Bed) -> bool:
    found = bed.condition(RUN, PATTERN, "Reconciling")
    return found is not None and found["reason"] == "Running" and bool(bed.started(TRAINING))


def measure(plane: ControlPlane, api: Api, runs: int, objects: int, log: Path, ends: Ends) -> str:
    """One line of the table."""
    operator = Operator(plane, log)
    operator.start(runs)  # the copies' first look is written down; a restart finds nothing to write
    operator.process.stop()
    ready, looked = operator.start(runs)
    with operator.cpu() as rest:
        time.sleep(REST_SECONDS)
    resident = operator.total("process_resident_memory_bytes") / 2**20
    names = [f"run-{number:05}" for number in random.Random(runs).sample(range(runs), runs)]
    fresh = [name for name in names if name not in ends._moved][:ENDS]
    with operator.cpu() as busy:
        seconds = sorted(ends.latencies(fresh))
    operator.process.stop()
    p99 = seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))]
    return (
        f"{runs:>6} {objects:>8} {ready:>8.1f} {looked:>9.1f} {resident:>8.0f} {rest[0]:>7.1f} {busy[0]:>7.1f}"
        f" {statistics.median(seconds) * 1000:>7.0f} {p99 * 1000:>7.0f}"
    )


def main() -> None:
    """Print the table."""
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as folder, contextmanager(with_operator)(Path(folder)) as plane:
        api = as_admin(plane)
        pattern = lead_one(plane, api)
        ends, made = Ends(plane, api), 0
        for runs in sizes:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for _ in pool.map(pattern.copy, range(made, runs)):
                    made += 1
                    print(f"\r  runs made: {made} of {runs}", end="", flush=True)
            print()
            rows.append(measure(plane, api, runs, runs * pattern.objects, Path(folder) / "operator.log", ends))
    print("  runs  objects  ready s  looked s  RSS MiB  rest %  busy %  p50 ms  p99 ms")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
