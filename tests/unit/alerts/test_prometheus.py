"""A real Prometheus scrapes the operator's endpoint: every query of the dashboards has data, the right alerts fire.

Statuses are those that the real decisions made of two simulated runs: one that gains, one whose gains are not proven.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_server import ALERTS, Prometheus, at_once, panels, running
from resources import CLAIM, digest, flywheel_run, metadata, run_spec
from simulation import World

from flywheel.api.request import StepRequest
from flywheel.controller.cache import Cache
from flywheel.controller.health import Health, serve
from flywheel.controller.metrics import Metrics
from flywheel.controller.resources import DEPLOYMENT, JOB, RUN, Resource
from flywheel.controller.shown import Shown
from flywheel.controller.workqueue import Workqueue
from flywheel.loop.plan import StepJob

BUDGET = {"teacherTokens": 1_000_000, "cost": "100", "gpuHours": "50", "wallTime": "100h"}
PRICES = {"currency": "EUR", "inputPerMillion": "1", "outputPerMillion": "2"}
NAMES = ("flat", "good")


class Running(World):
    """Its pods are seen running, and its teacher's replies are counted."""

    def _create(self, job: StepJob, recorded: bool) -> None:
        super()._create(job, recorded)
        self.jobs[job.name].phases = ["running"]

    def figures(self, request: StepRequest) -> Any:
        found = super().figures(request)
        return found.model_copy(update={"replies": {"strict": 8, "cut": 1}}) if request.step == "exam" else found


class Unproven(Running):
    """Its adapters are as good as before, and nobody knows: the interval holds 0 and minDelta."""

    def figures(self, request: StepRequest) -> Any:
        found = super().figures(request)
        if request.step != "validate":
            return found
        unclear = {"difference": 0.01, "low": -0.02, "high": 0.05}
        differences = {name: type(gain).model_validate(unclear) for name, gain in found.differences.items()}
        return found.model_copy(update={"differences": differences})


def spec() -> dict[str, Any]:
    stop = run_spec(maxIterations=9, plateau={"patience": 2, "minDelta": "0.02"}, budget=BUDGET)
    return stop | {"teacher": run_spec()["teacher"] | {"prices": PRICES}}


def status_at_work(world: World) -> dict[str, Any]:
    """In the training of the fourth iteration."""
    for _ in range(200):
        world.turn()
        status = world.read_status()
        at_work = status.pod is not None and not status.pod.counted
        if status.iteration == 4 and status.step == "train" and at_work:
            return world.status
    raise AssertionError("never in the training of iteration 4")


def run_item(name: str, status: dict[str, Any], version: int) -> dict[str, Any]:
    value = flywheel_run(spec(), status).to_json_object()
    return value | {"metadata": metadata(name) | {"resourceVersion": str(version)}}


def deployment_item(version: int) -> dict[str, Any]:
    def revision(number: int, since: str | None = None) -> dict[str, Any]:
        found = {"digest": digest(f"adapter {number}"), "run": "good", "iteration": number}
        found |= {"runCreated": "2026-11-21T06:00:00Z", "workspace": CLAIM.to_json_object()}
        return found | ({"since": since} if since else {})

    ready = {"type": "Ready", "status": "True", "reason": "Serving", "message": "serves", "observedGeneration": 1}
    status = {
        "conditions": [ready | {"lastTransitionTime": "2026-11-21T07:00:00Z"}],
        "serving": revision(2, "2026-11-21T07:00:00Z"),
        "rejected": [revision(1, "2026-11-21T06:30:00Z")],
        "waiting": revision(4, "2026-11-21T08:00:00Z"),
        "rollout": revision(3),
        "rollouts": 3,
        "pods": [{"name": "triton-0", "revision": digest("adapter 2"), "verified": True}],
    }
    target = {"serviceRef": {"name": "triton"}, "model": "severity"}
    target |= {"repository": {"persistentVolumeClaim": {"claimName": "models"}}}
    about = metadata("severity") | {"resourceVersion": str(version)}
    return {"metadata": about, "spec": {"target": {"triton": target}}, "status": status}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    metrics, cache = Metrics(), Cache()
    shown = Shown(cache, metrics)

    def look(kind: Resource, item: dict[str, Any]) -> None:
        cache.update(kind, item)
        shown.look(kind.kind, item["metadata"]["namespace"], item["metadata"]["name"])

    for name, world in zip(NAMES, (Unproven(spec=spec()), Running(spec=spec())), strict=True):
        look(RUN, run_item(name, status_before(world), 1))
        look(RUN, run_item(name, status_at_work(world), 2))
    look(DEPLOYMENT, deployment_item(1))
    asyncio.run(queue_work(metrics))
    of_the_process(metrics)
    server, folder = serve(0, Health(), metrics), tmp_path_factory.mktemp("prometheus")
    try:
        targets = {"static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}]}
        with running(folder, targets, at_once(ALERTS, folder)) as found:
            found.until("three scrapes", lambda: found.query("count_over_time(up[1m]) >= 3"))
            yield found
    except subprocess.CalledProcessError as error:
        pytest.skip(f"prometheus cannot be installed: {' '.join(error.stderr.split()[-20:])}")
    finally:
        server.shutdown()
        server.server_close()


def status_before(world: World) -> dict[str, Any]:
    """While the first step runs: the next look then sees that time has passed."""
    while not (world.status.get("pod") or {}):
        world.turn()
    return world.status


async def queue_work(metrics: Metrics) -> None:
    """A queue that works on one key, and again after an error."""
    looks, done = [], asyncio.Event()

    async def work(key: str) -> float | None:
        looks.append(key)
        if len(looks) == 1:
            raise OSError("the first look fails")
        done.set()
        return None

    queue = Workqueue(RUN.kind, work, metrics, workers=1)
    queue.start()
    queue.add("review/good")
    await done.wait()
    await queue.stop()


def of_the_process(metrics: Metrics) -> None:
    """What host, client and election tell."""
    metrics.leader("flywheel-operator", leading=True)
    for result in ("success", "requeue_after", "error"):
        metrics.reconciled(RUN.kind, result, 0.1)
    metrics.api_request("GET", 200)
    metrics.watch_age.labels(JOB.kind).set(3)
    metrics.watch_silent.labels(JOB.kind).set(0)
    metrics.listings.labels(JOB.kind).inc()
    metrics.audit_drift.labels(JOB.kind).inc()


@pytest.mark.parametrize("query", panels().values(), ids=panels())
def test_every_query_of_the_dashboards_has_data(prometheus: Prometheus, query: str) -> None:
    asked = query.replace("$__rate_interval", "1m").replace("$namespace", "review").replace("$name", ".*")
    assert prometheus.query(asked), f"nothing for {asked}"


def test_the_run_without_a_proven_gain_fires_and_the_good_one_does_not(prometheus: Prometheus) -> None:
    prometheus.until("the alert", lambda: ("FlywheelProficiencyStalled", "flat") in prometheus.firing())
    about_good = {alert for alert, name in prometheus.firing() if name == "good"}
    assert "FlywheelProficiencyStalled" not in about_good
    assert prometheus.query('flywheel_run_iterations_without_gain{name="good"} == 0')
    assert not {alert for alert, _ in prometheus.firing()} & {"FlywheelOperatorDown", "FlywheelWatchStale"}
