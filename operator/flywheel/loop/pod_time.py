"""How long a run's pods have run: each counts once, when it has ended (SCIENCE 6).

Pods of a run come one after another, so the newest is all that must be remembered. It is written down when its step
begins and counted when its Job ends, both in writes that are made anyway: time that passes writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import ceil

from flywheel.api.flywheelrun_status import FlywheelRunStatus, PodTime
from flywheel.loop.observed import JobView, PodView
from flywheel.loop.soundness import FETCH, ITERATION_STEPS

# Iteration 0 has fetch, validate and preflight, in this order.
_ORDER = {step: place for place, step in enumerate((FETCH, *ITERATION_STEPS, "preflight", "test", "judge", "cleanup"))}
_MOST_COUNTED = 10**12
_MOST_GPUS = 1_000_000


def metered(status: FlywheelRunStatus, jobs: Sequence[JobView], now: datetime) -> FlywheelRunStatus:
    """The status with the newest pod in it, and in `usage` once it has ended.

    One whose end nobody saw, because its Job was deleted meanwhile, ran at most until now, or until the next began.
    """
    if status.pod is not None and _place(status.pod) not in {_place(job) for job in jobs}:
        status = counted(status, now)
    at_work = status.current.number if status.current is not None else 0
    # A Job is made before the status says so: who died in between finds one of an iteration that has not begun.
    for job in sorted((job for job in jobs if job.iteration <= at_work), key=_place):
        if job.pod is not None and job.pod.started and _follows(job, job.pod, status.pod):
            status = counted(status, job.pod.started_at or now)
            status = status.model_copy(update={"pod": _begun(job, job.pod, now)})
        if status.pod is not None and _place(job) == _place(status.pod) and _ended(job):
            status = counted(status, _end(job, now))
    return status


def _follows(job: JobView, pod: PodView, newest: PodTime | None) -> bool:
    """Of another Job, or of the same one, which a queue had stopped meanwhile."""
    if newest is None or _place(job) > _place(newest):
        return True
    return _place(job) == _place(newest) and newest.uid not in ("", pod.uid)


def _end(job: JobView, now: datetime) -> datetime:
    """When its pod ended, as well as is known."""
    if job.pod is not None and job.pod.ended_at is not None:
        return job.pod.ended_at
    return job.suspended_since or now


def _begun(job: JobView, pod: PodView, now: datetime) -> PodTime:
    found = {"iteration": job.iteration, "step": job.step, "attempt": job.attempt, "since": pod.started_at or now}
    return PodTime.model_validate(found | {"uid": pod.uid, "gpus": min(pod.gpus, _MOST_GPUS)})


def _ended(job: JobView) -> bool:
    """Whether no pod of the Job is at work; one that is being deleted may have a pod that is."""
    if job.deleting:
        return job.pod is not None and job.pod.ended_at is not None
    return job.waits or job.stopped or job.state in ("Succeeded", "Failed")


def counted(status: FlywheelRunStatus, end: datetime) -> FlywheelRunStatus:
    """The status with the newest pod's time until `end` in `usage`, unless it is there."""
    pod = status.pod
    if pod is None or pod.counted:
        return status
    seconds = ceil(running(status, end))
    usage = status.usage.model_copy(
        update={
            "pod_seconds": min(status.usage.pod_seconds + seconds, _MOST_COUNTED),
            "gpu_seconds": min(status.usage.gpu_seconds + seconds * pod.gpus, _MOST_COUNTED),
        }
    )
    return status.model_copy(update={"usage": usage, "pod": pod.model_copy(update={"counted": True})})


def running(status: FlywheelRunStatus, now: datetime) -> float:
    """Seconds that the pod at work has run and that are not in `usage`."""
    pod = status.pod
    return 0.0 if pod is None or pod.counted else max(0.0, (now - pod.since).total_seconds())


def _place(pod: JobView | PodTime) -> tuple[int, int, int]:
    return pod.iteration, _ORDER.get(pod.step, len(_ORDER)), pod.attempt
