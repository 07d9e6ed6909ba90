"""Carries out a plan: delete Jobs, create Jobs, ONE status write, then events. Must not decide anything.

A write that the API server refuses becomes a condition in our own words; its text goes to the log only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from flywheel.api.adapterdeployment import AdapterDeploymentStatus
from flywheel.api.conditions import RECONCILING, Event, Reason
from flywheel.api.curriculum import CurriculumStatus
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.controller.cache import Cache
from flywheel.controller.client import Api, ApiError
from flywheel.controller.events import record
from flywheel.controller.jobs import Owner, RequestTooLargeError, job_manifest
from flywheel.controller.observe_jobs import controller_uid
from flywheel.controller.resources import JOB, Resource
from flywheel.controller.settings import Settings
from flywheel.loop.plan import Plan, StepJob
from flywheel.loop.state import State, conditions

log = logging.getLogger(__name__)
AnyStatus = TypeVar("AnyStatus", CurriculumStatus, FlywheelRunStatus, AdapterDeploymentStatus)

TERMINATING_AGAIN_SECONDS = 5.0
REFUSED_AGAIN_SECONDS = 60.0


class StaleError(Exception):
    """The object changed since it was observed: look again."""


@dataclass(frozen=True)
class Tools:
    """What applying needs."""

    api: Api
    cache: Cache
    settings: Settings
    guard: Callable[[], None]
    """Raises where nothing may be written or asked of serving pods any more; `api` calls it itself."""


@dataclass(frozen=True)
class Subject:
    """The resource that a plan is for, as it was observed."""

    kind: Resource
    namespace: str
    name: str
    uid: str
    version: str
    generation: int

    @property
    def owner(self) -> Owner:
        """As Jobs and events refer to it."""
        return Owner(self.kind.api_version, self.kind.kind, self.namespace, self.name, self.uid, self.generation)


class _RefusedError(Exception):
    """A Job could not be created; what to say of it, and when to try again."""

    def __init__(self, state: State, again: float) -> None:
        super().__init__(state.message)
        self.state, self.again = state, again


def apply(tools: Tools, subject: Subject, old: AnyStatus, plan: Plan[AnyStatus], now: datetime) -> float | None:
    """Carry out the plan; seconds after which to look again. Raises StaleError, ApiError."""
    for name in plan.delete:
        _delete(tools, subject, name)
    try:
        for job in plan.create:
            _create(tools, subject, job)
    except _RefusedError as refused:
        told = any(entry.message == refused.state.message for entry in old.conditions)
        fresh = {
            "conditions": conditions(old.conditions, refused.state, subject.generation, now),
            "observed_generation": subject.generation,
        }
        bad = refused.state.kind == "blocked" and not told
        event = Event(type="Warning", reason=refused.state.reason, message=refused.state.message)
        write(tools, subject, old, old.model_copy(update=fresh), (event,) if bad else (), now)
        return refused.again
    write(tools, subject, old, plan.status, plan.events, now)
    return plan.requeue_after


def write(
    tools: Tools, subject: Subject, old: AnyStatus, new: AnyStatus, events: tuple[Event, ...], now: datetime
) -> None:
    """The status, if it changed, and then the events."""
    before, after = old.to_json_object(), new.to_json_object()
    if before == after or (not events and _only_starting(old, new)):
        return
    put_status(tools, subject, after)
    _log_change(subject, old, new)
    for event in events:
        record(tools.api, subject.owner, event, now, tools.settings.pod)


def put_status(tools: Tools, subject: Subject, status: dict[str, Any]) -> None:
    """Write a status as it is. Raises StaleError."""
    body: dict[str, Any] = {
        "apiVersion": subject.kind.api_version,
        "kind": subject.kind.kind,
        "metadata": {
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
            "resourceVersion": subject.version,
        },
        "status": status,
    }
    try:
        written = tools.api.update_status(subject.kind, subject.namespace, subject.name, body)
    except ApiError as error:
        if error.conflict or error.not_found:
            _refresh(tools, subject)
            raise StaleError(f"{subject.kind.kind} {subject.namespace}/{subject.name} changed meanwhile") from error
        raise
    tools.cache.update(subject.kind, written)


def _only_starting(old: AnyStatus, new: AnyStatus) -> bool:
    """A Job that waits for its pod is no news while it was just created; each step would cost two writes more."""
    if old.model_copy(update={"conditions": []}) != new.model_copy(update={"conditions": []}):
        return False
    at_work = any(entry.type == RECONCILING and entry.status == "True" for entry in old.conditions)
    return at_work and any(entry.reason == Reason.WAITING_FOR_POD for entry in new.conditions)


def _refresh(tools: Tools, subject: Subject) -> None:
    """The watch may be behind: without this the same stale write would be tried again."""
    current = tools.api.get(subject.kind, subject.namespace, subject.name)
    if current is None or current["metadata"]["uid"] != subject.uid:
        tools.cache.remove(subject.kind, subject.uid)
    if current is not None:
        tools.cache.update(subject.kind, current)


def _delete(tools: Tools, subject: Subject, name: str) -> None:
    job = next((entry for entry in tools.cache.jobs_of(subject.uid) if entry.name == name), None)
    if job is None:
        return
    try:
        answer = tools.api.delete(JOB, subject.namespace, name, job.uid)
    except ApiError as error:
        if not error.not_found and not (error.conflict and _replaced(tools, subject, name, job.uid)):
            raise
        tools.cache.remove(JOB, job.uid)
        return
    if answer.get("kind") == JOB.kind:
        tools.cache.update(JOB, answer)


def _replaced(tools: Tools, subject: Subject, name: str, uid: str) -> bool:
    """Another Job has that name now, or none. What is taken from the cache never comes back: so it must be known."""
    found = tools.api.get(JOB, subject.namespace, name)
    return found is None or found["metadata"]["uid"] != uid


def _create(tools: Tools, subject: Subject, job: StepJob) -> None:
    try:
        manifest = job_manifest(job, subject.owner, tools.settings.images)
    except RequestTooLargeError as error:
        raise _RefusedError(State("blocked", Reason.SPEC_INVALID, str(error)), REFUSED_AGAIN_SECONDS) from error
    try:
        created = tools.api.create(JOB, subject.namespace, manifest)
    except ApiError as error:
        if error.already_exists:
            _adopt(tools, subject, job)
            return
        if error.refused or error.not_found:
            log.warning("Job %s/%s was refused: %s", subject.namespace, job.name, error)
            raise _RefusedError(_refused_state(job, error), REFUSED_AGAIN_SECONDS) from error
        raise
    tools.cache.update(JOB, created)


def _adopt(tools: Tools, subject: Subject, job: StepJob) -> None:
    """A Job of that name exists: ours from before (a lost answer, a restart), or somebody else's."""
    found = tools.api.get(JOB, subject.namespace, job.name)
    if found is None:
        raise StaleError(f"Job {job.name} was there and is gone")
    if controller_uid(found) == subject.uid:
        tools.cache.update(JOB, found)
        return
    if found["metadata"].get("deletionTimestamp") is not None:
        words = f"step {job.step}: waiting until an older Job {job.name} is gone"
        raise _RefusedError(State("working", Reason.CLEANING_UP, words), TERMINATING_AGAIN_SECONDS)
    words = f"step {job.step}: there is a Job {job.name} that is not this {subject.kind.kind}'s: delete or rename it"
    raise _RefusedError(State("blocked", Reason.JOB_CONFLICT, words), REFUSED_AGAIN_SECONDS)


def _refused_state(job: StepJob, error: ApiError) -> State:
    if error.status == 403:
        words = (
            f"step {job.step}: the API server forbade Job {job.name}: check the namespace's ResourceQuota, whether it"
            " is being deleted, and the operator's rights; its log has the words"
        )
    else:
        words = (
            f"step {job.step}: the API server refused Job {job.name} (HTTP {error.status} {error.reason}): check"
            " what spec.jobs says of image, resources, env, labels, nodeSelector and the like; the operator's log has"
            " the words"
        )
    return State("blocked", Reason.POD_REFUSED, words)


def _log_change(subject: Subject, old: AnyStatus, new: AnyStatus) -> None:
    ready = next((entry for entry in new.conditions if entry.type == "Ready"), None)
    before = next((entry for entry in old.conditions if entry.type == "Ready"), None)
    if ready is None or (before is not None and before.message == ready.message):
        return
    about = {
        "kind": subject.kind.kind,
        "namespace": subject.namespace,
        "name": subject.name,
        "step": getattr(new, "step", None),
        "iteration": getattr(new, "iteration", None),
        "reason": ready.reason,
    }
    log.info(ready.message, extra={"about": about})
