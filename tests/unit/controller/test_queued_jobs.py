"""A Job that a queue stops and lets go on, as the API server shows it: which pod is its own, and whether it waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flywheel.api.jobs import QUEUE_LABEL
from flywheel.controller import labels
from flywheel.controller.cache import Cache
from flywheel.controller.observe_jobs import JOB_UID, job_view
from flywheel.controller.resources import JOB, POD
from flywheel.loop.observed import JobView

MARKS = {labels.OWNER_UID: "owner", labels.STEP: "train", labels.ITERATION: "1", labels.ATTEMPT: "1"}


def at(minute: int) -> str:
    return f"2026-11-22T10:{minute:02}:00Z"


def job(version: int, suspended: str | None, minute: int, **ended: str) -> dict[str, Any]:
    conditions = [{"type": "Suspended", "status": suspended, "lastTransitionTime": at(minute)}] if suspended else []
    metadata = {
        "name": "train-1", "namespace": "review", "uid": "job", "resourceVersion": str(version),
        "creationTimestamp": at(0), "labels": MARKS | {QUEUE_LABEL: "gpus", labels.SETTINGS: "0123"},
        "ownerReferences": [{"uid": "owner", "controller": True}],
    }  # fmt: skip
    conditions += [{"type": kind, "status": status} for kind, status in ended.items()]
    return {"metadata": metadata, "status": {"conditions": conditions}}


def pod(uid: str, version: int, minute: int, code: int | None = None) -> dict[str, Any]:
    state = {"running": {"startedAt": at(minute)}}
    ended = {"terminated": {"exitCode": code, "startedAt": at(minute), "finishedAt": at(minute)}}
    status = {"name": labels.CONTAINER, "state": state if code is None else ended}
    phase = "Running" if code is None else "Failed" if code else "Succeeded"
    metadata = {
        "name": uid, "namespace": "review", "uid": uid, "resourceVersion": str(version),
        "creationTimestamp": at(minute), "labels": MARKS | {JOB_UID: "job"},
    }  # fmt: skip
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "containerStatuses": [status]}}


def seen(cache: Cache) -> JobView:
    (record,) = cache.jobs_of("owner")
    return job_view(record, cache.pods_of("owner"))


def test_a_job_through_a_queue() -> None:
    cache = Cache()
    cache.update(JOB, job(1, None, 0))
    assert not seen(cache).waits, "the Job controller has not seen it yet"
    cache.update(JOB, job(2, "True", 0))
    view = seen(cache)
    assert view.waits and view.active and (view.queue, view.settings) == ("gpus", "0123")
    cache.update(JOB, job(3, "False", 5))
    assert (seen(cache).state, seen(cache).resumed_at) == ("Pending", datetime(2026, 11, 22, 10, 5, tzinfo=UTC))
    cache.update(POD, pod("first", 4, 5))
    assert seen(cache).state == "Running"
    cache.update(JOB, job(5, "True", 7))
    assert not seen(cache).waits, "its pod is still at work"
    cache.update(POD, pod("first", 6, 5, code=143))
    cache.remove(POD, "first")
    assert seen(cache).waits and seen(cache).stopped
    cache.update(JOB, job(7, "False", 9))
    assert seen(cache).stopped and not seen(cache).waits
    cache.update(POD, pod("second", 8, 9))
    view = seen(cache)
    assert view.state == "Running" and view.pod is not None and view.pod.uid == "second"
    cache.update(POD, pod("second", 9, 9, code=1))
    assert seen(cache).state == "Running", "whether it failed, the Job controller says"
    cache.update(JOB, job(10, "False", 9, Failed="True"))
    view = seen(cache)
    assert view.state == "Failed" and not view.active and view.pod is not None and view.pod.exit_code == 1


@pytest.mark.parametrize("suspended", ["True", "False"])
def test_who_is_done_while_he_is_stopped_is_done(suspended: str) -> None:
    cache = Cache()
    cache.update(JOB, job(1, suspended, 7))
    cache.update(POD, pod("first", 2, 5, code=0))
    cache.remove(POD, "first")
    view = seen(cache)
    assert view.state == "Succeeded" and view.active is (suspended == "True"), "a queue would let it run again"
