"""Carrying out a plan: what answers of the API server mean for the cache."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.jobs import JobSettings
from flywheel.api.request import ExamParameters, StepRequest, TeacherParameters
from flywheel.api.workspace import WorkspaceRef
from flywheel.controller import labels
from flywheel.controller.apply import Subject, Tools, apply
from flywheel.controller.cache import Cache
from flywheel.controller.client import ApiError
from flywheel.controller.resources import JOB, RUN
from flywheel.controller.settings import Settings
from flywheel.loop.plan import Claims, Plan, StepJob

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


TEACHER = TeacherParameters(base_url="http://teacher/v1", model="big")
ASKED = StepRequest(
    parameters=ExamParameters(teacher=TEACHER, questions=4), inputs=[], namespace="review", owner="first", attempt=1,
    output="runs/review/first/iter-1/exam/a1",
)  # fmt: skip
WORKSPACE = WorkspaceRef.model_validate({"persistentVolumeClaim": {"claimName": "flywheel"}})
EXAM = StepJob("exam-1", "exam", ASKED, JobSettings(), Claims(WORKSPACE))
NEW_KIND = (
    'jobs.batch "first-0-validate-1" is forbidden: cannot set blockOwnerDeletion in this case because cannot find'
    " RESTMapping for APIVersion flywheel.dev/v1alpha1 Kind FlywheelRun: no matches for kind"
)


@pytest.mark.parametrize(("words", "told"), [("exceeded quota", True), (NEW_KIND, False)])
def test_a_kind_that_the_api_server_does_not_know_yet_is_no_refusal(words: str, told: bool) -> None:
    """As seen on a new cluster, seconds after its CRDs: it is tried again soon, and nobody is told to mend anything."""
    refused = ApiError(403, "Forbidden", words)

    written: list[dict[str, Any]] = []

    class Api:
        def create(self, *_: Any) -> None:
            raise refused

        def update_status(self, *arguments: Any) -> dict[str, Any]:
            written.append(arguments[-1]["status"])
            return {"metadata": {"uid": "owner", "resourceVersion": "8"}, **arguments[-1]}

    tools: Any = Tools(Api(), Cache(), Settings({"operator": "operator:1"}, ""), lambda: None)  # type: ignore[arg-type]
    plan = Plan(FlywheelRunStatus(), create=(EXAM,))
    if told:
        apply(tools, SUBJECT, FlywheelRunStatus(), plan, NOW)
        assert "PodRefused" in str(written)
    else:
        with pytest.raises(ApiError):
            apply(tools, SUBJECT, FlywheelRunStatus(), plan, NOW)
        assert written == []
