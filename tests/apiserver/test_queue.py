"""Runs whose Jobs a queue holds back, lets run, evicts and lets run again. The queue is a stand-in: bed_queue."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bed_node import DONE, HOLD, Stages
from bed_queue import FLAVOUR, Queue
from bed_resources import curriculum, run

from conftest import Bed
from flywheel.api.jobs import QUEUE_LABEL
from flywheel.controller.resources import JOB, POD, RUN

TRAIN = ("first", 1, "train")


def _queued(bed: Bed, queue: str = "gpus") -> Any:
    """Wait until the run says that it waits there; the condition."""
    said = bed.until(
        f"queued in {queue}",
        lambda: (
            (entry := bed.condition(RUN, "first", "Reconciling"))
            and entry["reason"] == "Queued"
            and f" queue {queue} since " in entry["message"]
            and entry
        ),
    )
    assert bed.condition(RUN, "first", "Stalled") is None
    assert bed.condition(RUN, "first", "Ready")["status"] == "False"
    return said


def test_waits_is_admitted_evicted_and_admitted_again(bed: Bed) -> None:
    """Neither attempt nor time is used while it waits; an operator that dies meanwhile changes nothing."""
    bed.node.script = script = Stages({TRAIN: HOLD})
    bed.operator()
    with Queue(bed.api, bed.namespace, "gpus") as queue:
        bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1, queueName="gpus"))
        waiting = _queued(bed)
        (job,) = bed.jobs("validate")
        assert job["spec"]["suspend"] is True and job["metadata"]["labels"][QUEUE_LABEL] == "gpus"
        assert QUEUE_LABEL not in job["spec"]["template"]["metadata"]["labels"]
        queue.open = True
        bed.until_started(TRAIN)
        (job,) = bed.attempts(TRAIN)
        assert FLAVOUR.items() <= job["spec"]["template"]["spec"]["nodeSelector"].items()
        queue.evict(job["metadata"]["name"])
        waiting = _queued(bed)
        before = bed.until("its time is counted", lambda: _counted(bed))
        bed.operators.pop().crash()
        bed.operator()
        queue.open = True
        bed.until("its second pod", lambda: len(bed.started(TRAIN)) == 2)
        bed.until_condition(RUN, "first", "Reconciling", "Running")
        status = bed.get(RUN, "first")["status"]
        assert (status["attempt"]["ordinal"], status["attempt"]["disruptions"]) == (1, 1)
        assert status["attempt"]["failures"] == 0 and status["usage"] == before, "waiting costs nothing"
        script[TRAIN] = DONE
        done = bed.until_completed()
    assert "what for, say kubectl get workloads" in waiting["message"]
    accepted = {entry["name"]: entry["attempt"] for entry in done["status"]["history"][0]["steps"]}
    assert accepted == dict.fromkeys(accepted, 1) and "train" in accepted
    marks = [job["metadata"]["labels"] for job in bed.jobs()]
    made = Counter((each["flywheel.dev/iteration"], each["flywheel.dev/step"]) for each in marks)
    assert set(made.values()) == {1}, "no Job twice"


def _counted(bed: Bed) -> Any:
    status = bed.get(RUN, "first")["status"]
    return status["usage"] if status["pod"]["step"] == "train" and status["pod"]["counted"] else None


def test_never_admitted(bed: Bed) -> None:
    """Suspended, resumed, sent to another queue, deleted: all of it while it waits."""
    bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, queueName="gone"))
    since = _queued(bed, "gone")["message"]
    bed.patch(RUN, "first", {"stop": {"maxIterations": 3}})
    bed.until("the new spec is seen", lambda: bed.get(RUN, "first")["status"]["observedGeneration"] == 2)
    assert _queued(bed, "gone")["message"] == since, "it keeps its place"
    bed.patch(RUN, "first", {"suspend": True})
    bed.until_condition(RUN, "first", "Ready", "Suspended", "False")
    bed.until("no Job", lambda: not bed.jobs("validate"))
    bed.patch(RUN, "first", {"suspend": False})
    _queued(bed, "gone")
    bed.patch(RUN, "first", {"queueName": "gpus"})
    _queued(bed, "gpus")
    status = bed.get(RUN, "first")["status"]
    assert (status["attempt"]["ordinal"], status["attempt"]["failures"], status["attempt"]["disruptions"]) == (3, 0, 0)
    assert "usage" not in status or not status["usage"].get("podSeconds")
    bed.plane.kubectl("-n", bed.namespace, "delete", "fwr", "first", "--wait=false")
    bed.until("nothing is left", lambda: not bed.jobs("validate"))


def test_a_person_suspends_a_job(bed: Bed) -> None:
    """Without any queue: it says so, waits, and goes on with the same attempt."""
    bed.node.script = script = Stages({TRAIN: HOLD})
    bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
    bed.until_started(TRAIN)
    (job,) = bed.attempts(TRAIN)
    name = job["metadata"]["name"]
    bed.patch(JOB, name, {"suspend": True})
    said = bed.until_condition(RUN, "first", "Reconciling", "Queued")["message"]
    assert "names no queue" in said and f"kubectl patch job {name}" in said
    bed.patch(JOB, name, {"suspend": False})
    bed.until("its second pod", lambda: len(bed.started(TRAIN)) == 2)
    script[TRAIN] = DONE
    bed.until_completed()
    assert len(bed.attempts(TRAIN)) == 1


def test_what_a_platform_asks_for_reaches_the_pod(bed: Bed) -> None:
    """Taken by the API server's strict validation and by the admission of pods."""
    bed.apply(
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "research"}, "value": 7},
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"},
    )
    asked = {
        "priorityClassName": "research",
        "runtimeClassName": "nvidia",
        "imagePullSecrets": [{"name": "registry"}],
        "labels": {"team": "review"},
        "annotations": {"kueue.x-k8s.io/podset-preferred-topology": "rack"},
        "shmSize": "3Gi",
        "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "4Gi"}},
    }
    bed.node.script = Stages({("first", 0, "validate"): HOLD})
    bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, jobs={"steps": [{"name": "validate", **asked}]}))
    pod = bed.get(POD, bed.until_started(("first", 0, "validate")))
    spec = pod["spec"]
    assert (spec["priority"], spec["runtimeClassName"]) == (7, "nvidia")
    assert spec["imagePullSecrets"] == asked["imagePullSecrets"]
    assert pod["metadata"]["labels"]["team"] == "review"
    assert asked["annotations"].items() <= pod["metadata"]["annotations"].items()
    assert [entry["emptyDir"]["sizeLimit"] for entry in spec["volumes"] if entry["name"] == "shared-memory"] == ["3Gi"]
    bed.until_condition(RUN, "first", "Reconciling", "Running")
    assert bed.get(RUN, "first")["status"]["pod"]["gpus"] == 1
