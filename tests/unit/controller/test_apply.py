"""Carrying out a plan: what answers of the API server mean for the cache."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.controller import labels
from flywheel.controller.apply import Subject, Tools, apply
from flywheel.controller.cache import Cache
from flywheel.controller.client import ApiError
from flywheel.controller.resources import JOB, RUN
from flywheel.controller.settings import Settings
from flywheel.loop.plan import Plan

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
SUBJECT = Subject(RUN, "review", "first", "owner", "7", 1)


def job(uid: str) -> dict[str, Any]:
    marks = {labels.OWNER_UID: "owner", labels.STEP: "exam", labels.ITERATION: "1", labels.ATTEMPT: "1"}
    owners = [{"uid": "owner", "controller": True}]
    metadata = {"name": "exam-1", "namespace": "review", "uid": uid, "resourceVersion": "5", "labels": marks}
    return {"metadata": metadata | {"ownerReferences": owners}}


class Refusing:
    """Answers every DELETE with this; `there` is the uid of the Job of that name."""

    def __init__(self, status: int, reason: str, there: str | None) -> None:
        self.error, self.there = ApiError(status, reason, "no"), there

    def delete(self, *_: Any) -> None:
        raise self.error

    def get(self, *_: Any) -> dict[str, Any] | None:
        return job(self.there) if self.there is not None else None


@pytest.mark.parametrize(
    ("status", "reason", "there", "forgotten"),
    [
        (404, "NotFound", None, True),
        (409, "Conflict", "another", True),
        (409, "Conflict", None, True),
        (409, "Conflict", "old", False),
        (500, "InternalError", "old", False),
    ],
)
def test_a_job_is_forgotten_only_when_it_is_known_to_be_gone(
    status: int, reason: str, there: str | None, forgotten: bool
) -> None:
    """What was taken from the cache never comes back: a running Job would be started a second time."""
    cache, api = Cache(), Refusing(status, reason, there)
    cache.update(JOB, job("old"))
    tools: Any = Tools(api, cache, Settings({}, ""), lambda: None)  # type: ignore[arg-type]
    old = FlywheelRunStatus()
    if forgotten:
        apply(tools, SUBJECT, old, Plan(old, delete=("exam-1",)), NOW)
    else:
        with pytest.raises(ApiError):
            apply(tools, SUBJECT, old, Plan(old, delete=("exam-1",)), NOW)
    assert (cache.jobs_of("owner") == []) == forgotten
