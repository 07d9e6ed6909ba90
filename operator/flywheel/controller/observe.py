"""What a reconcile sees: the resource as a type, and its Jobs with their pods."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from flywheel.api.curriculum import Attempt
from flywheel.controller.apply import Subject, Tools
from flywheel.controller.cache import Entry
from flywheel.controller.labels import OWNER_UID
from flywheel.controller.observe_jobs import JOB_UID, JobRecord, PodRecord, job_view, left_behind
from flywheel.controller.resources import JOB, POD, Resource
from flywheel.loop.observed import JobView

Model = TypeVar("Model", bound=BaseModel)
JobKey = tuple[str, int, int]  # step, iteration, attempt


class InvalidResourceError(Exception):
    """The object does not fit its type: the CRD of another version let it in."""


def subject_of(kind: Resource, entry: Entry) -> Subject:
    """The resource as writes refer to it."""
    metadata = entry.value["metadata"]
    return Subject(
        kind=kind,
        namespace=entry.namespace,
        name=entry.name,
        uid=entry.uid,
        version=metadata["resourceVersion"],
        generation=int(metadata.get("generation") or 0),
    )


def parse(model: type[Model], raw: dict[str, Any]) -> Model:
    """The resource as its type; raises InvalidResourceError with the field's path."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise InvalidResourceError(f"{where}: {fault['msg']}") from error


def unjudged(step: str | None, iteration: int, attempt: Attempt | None) -> JobKey | None:
    """The newest Job that a status knows of, if its end was not yet taken into account: it is there, or was."""
    if step is None or attempt is None or attempt.ordinal <= attempt.judged:
        return None
    return step, iteration, attempt.ordinal


def job_views(tools: Tools, entry: Entry, known: JobKey | None) -> tuple[JobView, ...]:
    """The resource's Jobs with their pods.

    News of different kinds comes in any order. A Job that the status knows and the cache does not is looked for, or it
    would seem to be gone; pods of a Job that has ended are looked for, or its result would seem lost.
    """
    owner_uid, namespace = entry.uid, entry.namespace
    jobs = tools.cache.jobs_of(owner_uid)
    if known is not None and known not in {(job.step, job.iteration, job.attempt) for job in jobs}:
        listed, _ = tools.api.list(JOB, namespace, f"{OWNER_UID}={owner_uid}")
        for item in listed:
            tools.cache.update(JOB, item)
        jobs = tools.cache.jobs_of(owner_uid)
    pods = tools.cache.pods_of(owner_uid)
    if any(_pod_is_behind(job, pods) for job in jobs):
        listed, _ = tools.api.list(POD, namespace, f"{OWNER_UID}={owner_uid},{JOB_UID}")
        for item in listed:
            tools.cache.update(POD, item)
        pods = tools.cache.pods_of(owner_uid)
    generation = int(entry.value["metadata"].get("generation") or 0)
    return tuple(job_view(job, pods, generation) for job in (*jobs, *left_behind(jobs, pods)))


def _pod_is_behind(job: JobRecord, pods: list[PodRecord]) -> bool:
    own = [pod for pod in pods if pod.job_uid == job.uid]
    return job.ended is not None and not job.deleting and not any(pod.finished for pod in own)
