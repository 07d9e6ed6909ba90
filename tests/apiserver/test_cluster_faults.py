"""What a cluster does to a run: it says so in a condition, goes on when the cause is mended, and does nothing twice.

Missing images and Secrets, OOM kills, pods that run past their timeout: test_mishaps.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from bed_control_plane import ControlPlane
from bed_node import HOLD, Ending, Stage, Stages
from bed_resources import curriculum, run
from bed_results import failure

from conftest import Bed, Object, made_bed
from flywheel.controller.client import Api
from flywheel.controller.health import API_AWAY_SECONDS
from flywheel.controller.resources import RUN
from flywheel.loop.waiting import NO_POD_AFTER_SECONDS

FULL_NODES = Ending(unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes")
UNBOUND = Ending(unschedulable='0/3 nodes are available: persistentvolumeclaim "flywheel" not found.')
FULL_VOLUME = Ending(code=75, said=failure("VolumeFull", "the volume of the workspace is full: enlarge it"))
EVICTED = Ending(code=137, disrupted=True)
LINGERS = Ending(hold=True, stubborn=True)
FAILS = Ending(code=1, said=failure("StepFailed", "ValueError: see the log of the step's pod"))
MADE = {"prepare": 1, "validate": 2, "preflight": 1, "exam": 1, "answer": 1, "evaluate": 1, "train": 1, "test": 1}


@pytest.fixture(scope="module")
def script() -> Stages:
    """What the node does; a test adds what is to happen to its own run."""
    return Stages()


@pytest.fixture(scope="module")
def faulty(plane: ControlPlane, api: Api, script: Stages) -> Iterator[Bed]:
    """A namespace with an operator and a prepared Curriculum."""
    with made_bed(plane, api, "faulty") as bed:
        bed.node.script = script
        bed.operator()
        bed.apply(curriculum(bed.namespace))
        yield bed


def accepted(finished: Object) -> dict[str, int]:
    """Attempts that won, by step of the first iteration, where they are not the first."""
    steps = finished["status"]["history"][0]["steps"]
    return {entry["name"]: entry["attempt"] for entry in steps if entry["attempt"] > 1}


BLOCKED = {
    "no-gpu": (FULL_NODES, "Unschedulable", "no node has enough nvidia.com/gpu free"),
    "no-claim": (UNBOUND, "VolumeUnavailable", "PersistentVolumeClaim"),
    "no-room": (FULL_VOLUME, "VolumeFull", "enlarge it"),
}


def test_blocked_until_the_cluster_is_mended(faulty: Bed, script: Stages) -> None:
    """No node, no volume, no room on it: said by class, in words that help; it goes on by itself, no attempt used."""
    script.update({(name, 1, "train"): ending for name, (ending, _, _) in BLOCKED.items()})
    faulty.apply(*(run(faulty.namespace, name, 1, jobs={"defaults": {"attempts": 1}}) for name in BLOCKED))
    for name, (_, reason, words) in BLOCKED.items():
        assert words in faulty.until_condition(RUN, name, "Stalled", reason)["message"]
        assert faulty.condition(RUN, name, "Reconciling") is None
        del script[(name, 1, "train")]
    for name in BLOCKED:
        assert accepted(faulty.until_completed(name)) == ({"train": 2} if name == "no-room" else {})


def test_evicted_and_on_a_lost_node(faulty: Bed, script: Stages) -> None:
    """An eviction uses no attempt. A pod on a lost node is waited for, in words that say how to be rid of it."""
    evicted, lost = ("evicted", 1, "train"), ("lost", 1, "train")
    script.update({evicted: EVICTED, lost: LINGERS})
    one = {"defaults": {"attempts": 1}}
    faulty.apply(*(run(faulty.namespace, name, 1, jobs=one) for name in ("evicted", "lost")))
    pod = faulty.until_started(lost)
    faulty.plane.kubectl("-n", faulty.namespace, "delete", "pod", pod, "--wait=false")  # as the taint manager does
    assert (
        f"kubectl delete pod --force {pod}"
        in faulty.until_condition(RUN, "lost", "Reconciling", "Disrupted")["message"]
    )
    assert len(faulty.started(lost)) == 1
    faulty.until_started(evicted, 3)
    script.clear()
    faulty.plane.kubectl("-n", faulty.namespace, "delete", "pod", pod, "--force", "--grace-period=0")
    assert accepted(faulty.until_completed("lost")) == {"train": 2}
    faulty.until_completed("evicted")


def test_quota(bed: Bed) -> None:
    """No more Jobs, or no more pods, than the namespace may have: said, and it goes on when there is room."""
    operator = bed.operator()
    bed.apply(curriculum(bed.namespace))
    bed.until("prepared", lambda: bed.jobs("prepare") and bed.jobs("prepare")[0]["status"].get("completionTime"))
    quota(bed, "count/jobs.batch")
    bed.apply(run(bed.namespace, "first", 1))
    assert "ResourceQuota" in bed.until_condition(RUN, "first", "Stalled", "PodRefused")["message"]
    quota(bed, None)
    quota(bed, "pods")
    bed.patch(RUN, "first", {"stop": {"maxIterations": 2}})  # a change of spec is looked at once
    bed.until("its Job", lambda: bed.jobs("validate"))
    operator.ahead += timedelta(seconds=NO_POD_AFTER_SECONDS)
    bed.patch(RUN, "first", {"stop": {"maxIterations": 1}})
    bed.until("no pod", lambda: "quota" in (bed.condition(RUN, "first", "Stalled") or {}).get("message", ""))
    operator.ahead = timedelta()
    quota(bed, None)
    assert accepted(bed.until_completed()) == {}


def quota(bed: Bed, resource: str | None) -> None:
    """A ResourceQuota that allows none of them, or none at all. Its controller does not run: we are it."""
    if resource is None:
        bed.plane.kubectl("-n", bed.namespace, "delete", "resourcequota", "--all")
        return
    hard = {"hard": {resource: "0"}}
    manifest = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": hard}
    bed.plane.kubectl("-n", bed.namespace, "create", "-f", "-", stdin=json.dumps(manifest))
    status = json.dumps({"status": hard | {"used": {resource: "0"}}})
    bed.plane.kubectl(
        "-n", bed.namespace, "patch", "resourcequota/none", "--subresource=status", "--type=merge", "-p", status
    )


def test_clock_jumps(bed: Bed) -> None:
    """A year forth, and back again, each while a retry is waited for: it is made at once, once, and the run ends."""
    exam, train = ("first", 1, "exam"), ("first", 1, "train")
    script = bed.node.script = Stages({exam: FAILS, train: FAILS})
    operator = bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, "first", 1))
    for number, (stage, ahead) in enumerate(((exam, timedelta(days=400)), (train, timedelta()))):
        bed.until(f"{stage} fails", lambda stage=stage: retrying(bed, stage))
        script[stage] = HOLD
        operator.ahead = ahead
        bed.patch(RUN, "first", {"stop": {"maxIterations": 2 + number}})  # a change of spec is looked at once
        bed.until_started(stage, 2)
        del script[stage]
    bed.patch(RUN, "first", {"stop": {"maxIterations": 1}})
    assert accepted(bed.until_completed()) == {"exam": 2, "train": 2}


def retrying(bed: Bed, stage: Stage) -> bool:
    """Whether a step has failed and waits for its next attempt."""
    status = bed.get(RUN, stage[0]).get("status") or {}
    return status.get("step") == stage[2] and "retryAt" in (status.get("attempt") or {})


def test_api_server_away(bed: Bed) -> None:
    """Killed in the middle of a run: not ready, never not alive; afterwards the run goes on where it was."""
    script = bed.node.script = Stages({("first", 1, "exam"): HOLD, ("first", 1, "train"): HOLD})
    operator = bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, "first", 1))
    bed.until_started(("first", 1, "exam"))
    assert operator.health.ready() == ""
    bed.plane.kill_api_server()
    try:
        script.clear()
        script[("first", 1, "train")] = HOLD
        operator.health.clock = lambda: time.monotonic() + API_AWAY_SECONDS
        bed.until("not ready", lambda: operator.health.ready() == "the API server has answered no listing for a while")
        bed.until("alive", lambda: operator.health.live() == "")
    finally:
        bed.plane.restart_api_server()
    bed.until("ready", lambda: operator.health.ready() == "")
    bed.until_started(("first", 1, "train"))
    script.clear()
    assert accepted(bed.until_completed()) == {}
    assert Counter(job["metadata"]["labels"]["flywheel.dev/step"] for job in bed.jobs()) == MADE
    assert operator.health.live() == "" and operator.health.ready() == ""
