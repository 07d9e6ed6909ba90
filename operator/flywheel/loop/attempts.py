"""Attempts of one step: when to start, read again, wait, accept or give up. Shared by all kinds of resources.

Each Job is one attempt with a new ordinal. Only failures of the container `step` use attempts up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Attempt
from flywheel.api.jobs import JobSettings
from flywheel.api.result import AbsentFigures, StepResult, Usage, parse_result
from flywheel.loop.exits import Exit, classify, known_reason
from flywheel.loop.observed import JobView
from flywheel.loop.state import State
from flywheel.loop.waiting import seconds_until_missed, waiting_state

DEFAULT_ATTEMPTS = 3
MAX_DISRUPTIONS = 20
BACKOFF_FIRST, BACKOFF_MOST = 10.0, 300.0
_MOST_DOUBLINGS = 10
# A wait that is longer was written by a clock that has gone back since, or by hand.
_LONGEST_WAIT = 2 * BACKOFF_MOST


@dataclass(frozen=True)
class Start:
    """Create the Job of this ordinal; `rereads`: only to read that attempt's result again."""

    attempt: Attempt
    rereads: int | None = None


@dataclass(frozen=True)
class Wait:
    """Nothing to create now. `delete`: the Job that cannot start as it was made."""

    attempt: Attempt
    state: State
    requeue_after: float | None = None
    delete: tuple[str, ...] = ()


@dataclass(frozen=True)
class Accepted:
    """The step is done: the result, and the number of the attempt that made it."""

    result: StepResult
    number: int


@dataclass(frozen=True)
class GaveUp:
    """No further attempt: bad input, or all attempts used. `usage`: what the step was charged all the same."""

    attempt: Attempt
    state: State
    bad_input: bool = False
    usage: Usage | None = None


Outcome = Start | Wait | Accepted | GaveUp


def advance(jobs: Sequence[JobView], attempt: Attempt, settings: JobSettings, now: datetime, program: str) -> Outcome:
    """What to do about one step, from its Jobs (of this iteration) and the book-keeping in status.

    A result of another program than the step's is no result.
    """
    if any(job.deleting for job in jobs):
        words = "waiting until the last attempt's Job and its pod are gone"
        return Wait(attempt, State("working", Reason.CLEANING_UP, words))
    newest = max(jobs, key=lambda job: job.attempt, default=None)
    if newest is None or (newest.attempt < attempt.ordinal and not newest.active):
        if attempt.ordinal > attempt.judged:  # it was created and is gone: what it did may be on the workspace
            return _start(attempt, attempt.ordinal, rereads=attempt.rereading or attempt.ordinal)
        return _when_due(attempt, attempt.ordinal, now)
    attempt = _seen(newest, attempt)
    if newest.state in ("Pending", "Running"):
        return _wait(newest, attempt, settings, now)
    if newest.state == "Succeeded":
        result = _result(newest, program)
        if result is not None:
            return Accepted(result, newest.rereads or newest.attempt)
        return _without_result(newest, jobs, attempt, settings, now)
    if newest.attempt <= attempt.judged:
        return _when_due(attempt, newest.attempt, now)
    return _judge(classify(newest), newest, attempt, settings, now)


def _wait(job: JobView, attempt: Attempt, settings: JobSettings, now: datetime) -> Wait | GaveUp:
    if attempt.disruptions >= MAX_DISRUPTIONS:
        return _disrupted(job, attempt, f"Job {job.name} was stopped and started again")
    state = waiting_state(job, now)
    if job.waits and job.rereads is None and job.settings not in ("", settings.digest):
        words = f"step {job.step}: its settings were changed, so Job {job.name}, which waits in a queue, is made anew"
        return Wait(halt([job], attempt), State("working", Reason.CLEANING_UP, words), delete=(job.name,))
    if state.kind == "blocked" and job.outdated:
        words = f"step {job.step}: spec was changed, so Job {job.name}, which could not start, is made anew"
        return Wait(halt([job], attempt), State("working", Reason.CLEANING_UP, words), delete=(job.name,))
    podless = (job.pod is None or job.stopped) and job.suspended_since is None
    requeue = seconds_until_missed(job, now) if podless else None
    return Wait(attempt, state, requeue if requeue is not None and requeue > 0 else None)


def _seen(newest: JobView, attempt: Attempt) -> Attempt:
    """Book-keeping of the newest Job. What it rereads is kept until its end is judged, and then `_judge` says."""
    update: dict[str, object] = {"ordinal": newest.attempt}
    if newest.attempt > attempt.judged:
        update["rereading"] = newest.rereads
    if newest.pod is not None and newest.pod.started:
        same_job = newest.attempt == attempt.ordinal and attempt.pod is not None
        if same_job and newest.pod.uid != attempt.pod:  # its queue stopped the one before
            update["disruptions"] = attempt.disruptions + 1
        update["pod"] = newest.pod.uid
        if newest.rereads is None:
            update["begun"] = newest.attempt
    return attempt.model_copy(update=update)


def halt(jobs: Sequence[JobView], attempt: Attempt) -> Attempt:
    """The book-keeping when the Jobs at work are deleted on purpose: that counts as nothing."""
    newest = max((job for job in jobs if job.active), key=lambda job: job.attempt, default=None)
    if newest is None or newest.attempt < attempt.ordinal:
        return attempt
    return _seen(newest, attempt).model_copy(update={"judged": newest.attempt, "retry_at": None})


def _result(job: JobView, program: str) -> StepResult | None:
    """What a Job that ended well made, or None where its pod does not say so."""
    result = parse_result(job.pod.message) if job.pod else None
    if result is None or result.manifest is None or result.figures is None or result.figures.step != program:
        return None
    return result


def _without_result(
    job: JobView, jobs: Sequence[JobView], attempt: Attempt, settings: JobSettings, now: datetime
) -> Outcome:
    """Exit code 0 and no result: it is read again, once; what a report finds nothing of is lost or failed."""
    if job.rereads is None:
        return _start(attempt, job.attempt, rereads=job.attempt)
    if job.attempt <= attempt.judged:
        return _when_due(attempt, job.attempt, now)
    absent = _found_nothing(job)
    if absent and not any(other.attempt == job.rereads and other.state == "Succeeded" for other in jobs):
        # Its Job is gone: the attempt was lost, which is no failure.
        return _start(attempt.model_copy(update={"judged": job.attempt}), job.attempt)
    words = f"attempt {job.rereads} of step {job.step} ended with exit code 0 and left no result of that step:"
    empty = Exit("Failure", Reason.STEP_FAILED, f"{words} is jobs.steps[].image the right image?")
    return _judge(empty, job, attempt, settings, now)


def _found_nothing(report: JobView) -> bool:
    result = parse_result(report.pod.message) if report.pod else None
    return result is not None and isinstance(result.figures, AbsentFigures)


def _judge(exit_: Exit, job: JobView, attempt: Attempt, settings: JobSettings, now: datetime) -> Outcome:
    counted = {
        "failures": attempt.failures + (exit_.kind == "Failure"),
        "disruptions": attempt.disruptions + (exit_.kind == "Disruption"),
        "waits": attempt.waits + 1 if exit_.kind in ("TryLater", "NeverStarted") else 0,
    }
    attempt = attempt.model_copy(
        update=counted
        | {
            "judged": job.attempt,
            "rereading": None if exit_.kind in ("Failure", "BadInput") else job.rereads,
            "reason": exit_.reason.value,
            "message": exit_.message[:512],
        }
    )
    most = settings.attempts or DEFAULT_ATTEMPTS
    if exit_.kind == "BadInput":
        return GaveUp(attempt, State("failed", exit_.reason, exit_.message), bad_input=True, usage=exit_.usage)
    if attempt.failures >= most:
        reason = exit_.reason if exit_.reason is not Reason.STEP_FAILED else Reason.ATTEMPTS_EXHAUSTED
        words = f"all {most} attempts of step {job.step} failed: {exit_.message}"
        return GaveUp(attempt, State("failed", reason, words), usage=exit_.usage)
    if attempt.disruptions >= MAX_DISRUPTIONS:
        return _disrupted(job, attempt, exit_.message)
    count = max(attempt.failures if exit_.kind == "Failure" else attempt.waits, 1)
    seconds = 0.0 if exit_.kind == "Disruption" else backoff(count)
    retry_at = now + timedelta(seconds=seconds)
    return _when_due(attempt.model_copy(update={"retry_at": retry_at}), job.attempt, now)


def _disrupted(job: JobView, attempt: Attempt, how: str) -> GaveUp:
    words = f"step {job.step} lost {attempt.disruptions} pods to evictions: {how}"
    return GaveUp(attempt, State("failed", Reason.DISRUPTED, words))


def _when_due(attempt: Attempt, newest: int, now: datetime) -> Outcome:
    seconds = seconds_until(attempt.retry_at, now)
    if attempt.retry_at is not None and seconds > 0:
        return Wait(attempt, _retrying(attempt, attempt.retry_at), seconds)
    return _start(attempt, newest, rereads=attempt.rereading)


def backoff(count: int, first: float = BACKOFF_FIRST, most: float = BACKOFF_MOST) -> float:
    """Seconds to wait after so many failures in a row, 1 or more."""
    return min(first * 2 ** min(count - 1, _MOST_DOUBLINGS), most)


def seconds_until(retry_at: datetime | None, now: datetime) -> float:
    """How long to wait; 0 when it is time."""
    seconds = (retry_at - now).total_seconds() if retry_at is not None else 0.0
    return seconds if 0 < seconds <= _LONGEST_WAIT else 0.0


def _retrying(attempt: Attempt, retry_at: datetime) -> State:
    words = f"{attempt.message}; tried again at {retry_at.isoformat()}"
    if attempt.waits:
        return State("blocked", known_reason(attempt.reason, Reason.TRY_LATER), words)
    return State("working", Reason.RETRYING, words)


def _start(attempt: Attempt, newest: int, rereads: int | None = None) -> Start:
    fresh = attempt.model_copy(update={"ordinal": newest + 1, "rereading": rereads, "retry_at": None, "pod": None})
    return Start(fresh, rereads)
