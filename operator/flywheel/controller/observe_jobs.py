"""Jobs and pods as decisions see them: projections of the API server's objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from flywheel.api.jobs import QUEUE_LABEL, gpus
from flywheel.controller import labels
from flywheel.controller.fields import entries, mapping, text
from flywheel.loop.observed import JobState, JobView, PodView

Object = Mapping[str, Any]
JOB_NAME, JOB_UID = "batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid"
_DISRUPTIONS = {"Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting"}
# The container never ran: its command could not be started.
_NOT_STARTED = {"StartError", "ContainerCannotRun"}
_LOST = "ContainerStatusUnknown"
_TEXT_MAX = 4096


@dataclass(frozen=True)
class JobRecord:
    """What the cache keeps of a Job."""

    name: str
    uid: str
    controller_uid: str
    step: str
    iteration: int
    attempt: int
    rereads: int | None
    created_at: datetime
    ended: JobState | None
    deleting: bool
    generation: int | None = None  # of the spec that it was made from
    settings: str = ""
    queue: str = ""
    suspended_since: datetime | None = None
    resumed_at: datetime | None = None


@dataclass(frozen=True)
class PodRecord:
    """What the cache keeps of a pod. `finished`: its containers are not coming back. `job`: its Job as if deleted."""

    job_uid: str
    created_at: datetime
    finished: bool
    view: PodView
    job: JobRecord | None = None
    gone: bool = False


def job_record(job: Object) -> JobRecord:
    """Projection of a Job with our labels; raises ValueError where they are not ours."""
    metadata, conditions = job["metadata"], _true_conditions(job)
    ended: JobState | None = "Succeeded" if "Complete" in conditions else "Failed" if "Failed" in conditions else None
    return replace(
        _labelled(metadata, name=metadata["name"], uid=metadata["uid"]),
        controller_uid=controller_uid(job) or "",
        ended=ended,
        deleting=metadata.get("deletionTimestamp") is not None,
        settings=text(metadata, "labels", labels.SETTINGS),
        queue=text(metadata, "labels", QUEUE_LABEL),
        # As the Job controller says, not spec.suspend: once it says so, pods are stopped or made.
        suspended_since=None if ended else _turned(job, "True"),
        resumed_at=None if ended else _turned(job, "False"),
    )


def _labelled(metadata: Object, name: str, uid: str) -> JobRecord:
    """The Job of that name as its own labels, or its pod's, tell of it; a deleted one. Raises ValueError."""
    marks = mapping(metadata, "labels")
    try:
        return JobRecord(
            name=name,
            uid=uid,
            controller_uid="",
            iteration=int(marks[labels.ITERATION]),
            attempt=int(marks[labels.ATTEMPT]),
            step=marks[labels.STEP],
            rereads=int(marks[labels.REREADS]) if labels.REREADS in marks else None,
            created_at=_time(metadata.get("creationTimestamp")),
            ended=None,
            deleting=True,
            generation=int(marks[labels.GENERATION]) if labels.GENERATION in marks else None,
        )
    except KeyError as error:
        raise ValueError(f"Job {name} lacks the label {error.args[0]}") from error


def pod_record(pod: Object) -> PodRecord:
    """Projection of a pod of one of our Jobs."""
    metadata, status = pod["metadata"], mapping(pod, "status")
    state = _state_of(status, "containerStatuses", labels.CONTAINER)
    terminated = mapping(state, "terminated")
    said = text(terminated, "reason")
    started = state.get("running") is not None or (bool(terminated) and said not in _NOT_STARTED)
    # While the sidecar does not start, the step only says that the pod is not ready for it.
    sidecar = mapping(_state_of(status, "initContainerStatuses", labels.SIDECAR), "waiting")
    waiting = sidecar or mapping(state, "waiting")
    lost = said == _LOST or status.get("reason") in _DISRUPTIONS
    times = terminated or mapping(state, "running")
    disrupted = lost or "DisruptionTarget" in _true_conditions(pod) or metadata.get("deletionTimestamp") is not None
    view = PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        started=started,
        started_at=_moment(times, "startedAt"),
        ended_at=_moment(times, "finishedAt"),
        gpus=sum(gpus(mapping(entry, "resources", "limits")) for entry in entries(pod, "spec", "containers")),
        exit_code=terminated.get("exitCode"),
        message=text(terminated, "message")[:_TEXT_MAX],
        terminated_reason=said,
        deadline_exceeded=status.get("reason") == "DeadlineExceeded",
        disrupted=disrupted,
        waiting_reason=text(waiting, "reason"),
        waiting_message=text(waiting, "message")[:_TEXT_MAX],
        waiting_sidecar=bool(sidecar),
        unschedulable=_unschedulable(pod),
    )
    job_uid = text(metadata, "labels", JOB_UID)
    return PodRecord(
        job_uid=job_uid,
        created_at=_time(metadata.get("creationTimestamp")),
        finished=status.get("phase") in ("Succeeded", "Failed"),
        view=view,
        job=_job_of(metadata, job_uid),
    )


def _job_of(metadata: Object, uid: str) -> JobRecord | None:
    with suppress(ValueError):
        return _labelled(metadata, name=text(metadata, "labels", JOB_NAME), uid=uid)
    return None


def gone(record: PodRecord) -> PodRecord:
    """A pod that was deleted: what it said still counts, and losing it was no fault of the step's."""
    return replace(record, finished=True, gone=True, view=replace(record.view, disrupted=True))


def left_behind(jobs: Iterable[JobRecord], pods: Iterable[PodRecord]) -> list[JobRecord]:
    """Jobs that are gone while a pod of theirs still runs: as if they were still being deleted."""
    there = {job.uid for job in jobs}
    left = {pod.job_uid: pod.job for pod in pods if pod.job_uid and not pod.finished and pod.job_uid not in there}
    return [job for job in left.values() if job is not None]


def job_view(job: JobRecord, pods: Iterable[PodRecord], generation: int = 0) -> JobView:
    """A Job with its newest pod; `generation` is that of its owner's spec.

    A step that left its result is done, though the Job controller takes two seconds more to say so. Whether one has
    failed, and for whose fault, only the finished Job tells.
    """
    own = (pod for pod in pods if pod.job_uid == job.uid)
    newest = max(own, key=lambda pod: (pod.created_at, not pod.finished), default=None)
    done = newest is not None and newest.finished and newest.view.exit_code == 0
    pod = newest.view if newest is not None else None
    at_work = newest is not None and newest.view.started and not _stopped(job, newest)
    state: JobState = "Succeeded" if done else job.ended or ("Running" if at_work else "Pending")
    return JobView(
        name=job.name,
        uid=job.uid,
        step=job.step,
        iteration=job.iteration,
        attempt=job.attempt,
        created_at=job.created_at,
        state=state,
        deleting=job.deleting,
        rereads=job.rereads,
        outdated=job.generation is not None and job.generation < generation,
        pod=pod,
        queue=job.queue,
        suspended_since=job.suspended_since,
        resumed_at=job.resumed_at,
        settings=job.settings,
    )


def _stopped(job: JobRecord, newest: PodRecord) -> bool:
    """Whether the pod was stopped with its Job, which waits, or goes on and has no other pod yet."""
    return newest.finished and (job.suspended_since is not None or (job.resumed_at is not None and newest.gone))


def controller_uid(item: Object) -> str | None:
    """Uid of the object that controls this one."""
    owners = entries(item, "metadata", "ownerReferences")
    return next((text(owner, "uid") for owner in owners if owner.get("controller")), None)


def _true_conditions(item: Object) -> set[str]:
    return {text(entry, "type") for entry in entries(item, "status", "conditions") if entry.get("status") == "True"}


def _turned(job: Object, to: str) -> datetime | None:
    """When the condition Suspended became this; None where it is not."""
    found = (entry for entry in entries(job, "status", "conditions") if entry.get("type") == "Suspended")
    return next((_time(entry.get("lastTransitionTime")) for entry in found if entry.get("status") == to), None)


def _state_of(status: Mapping[str, Any], kind: str, container: str) -> Mapping[str, Any]:
    found = [entry for entry in entries(status, kind) if entry.get("name") == container]
    return mapping(found[0], "state") if found else {}


def _unschedulable(pod: Object) -> str:
    for entry in entries(pod, "status", "conditions"):
        if entry.get("type") == "PodScheduled" and entry.get("status") == "False":
            return (text(entry, "message") or text(entry, "reason") or "Unschedulable")[:_TEXT_MAX]
    return ""


def _moment(item: Object, name: str) -> datetime | None:
    return _time(item[name]) if item.get(name) else None


def _time(moment: str | None) -> datetime:
    if moment is None:
        return datetime.fromtimestamp(0, UTC)
    return datetime.fromisoformat(moment.replace("Z", "+00:00"))
