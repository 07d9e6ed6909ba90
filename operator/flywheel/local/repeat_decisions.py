"""Repeats the decisions of a finished run: the same results, taken by decide_run one after another.

Must not know how results are made or repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.request import StepRequest
from flywheel.api.result import StepResult
from flywheel.local.repeat_steps import Verdict
from flywheel.loop.decide import decide_run, ended
from flywheel.loop.observed import JobView, PodView, RunObserved
from flywheel.loop.plan import StepJob
from flywheel.workspace.recorded import Recorded

# Times, and what depends on when somebody looked.
_NOT_DECIDED = {
    "observed_generation": True,
    "attempt": True,
    "step": True,
    "progress": True,
    "pod": True,
    "started_at": True,
    "ended_at": True,
    "usage": {"pod_seconds", "gpu_seconds"},
    "conditions": {"__all__": {"last_transition_time", "observed_generation"}},
}
# Ends that come from outside, whatever the results say.
_FROM_OUTSIDE = (Reason.STOPPED, Reason.BUDGET_EXHAUSTED)


@dataclass(frozen=True)
class Made:
    """An accepted attempt: what it was asked and what it reported."""

    recorded: Recorded
    request: StepRequest


def repeat_decisions(curriculum: Curriculum, run: FlywheelRun, made: Sequence[Made]) -> Iterator[Verdict]:
    """Each step that is decided upon, and the status that comes of all; `run` has the status that was recorded."""
    by_step: Mapping[tuple[int, str], Made] = {(one.recorded.iteration, one.recorded.step): one for one in made}
    now, status, jobs = datetime.now(UTC), FlywheelRunStatus(), ()
    for _ in range(len(made) + 2):
        fresh = run.model_copy(update={"status": status})
        observed = RunObserved(
            fresh,
            curriculum,
            jobs,
            _model_path(made),
            shuffle_labels=_asked(made, "shuffle_labels"),
            unguarded=_asked(made, "unguarded"),
        )
        plan = decide_run(observed, now)
        status = plan.status
        if ended(status) or not plan.create:
            break
        job = plan.create[0]
        found = by_step.get((job.request.iteration, job.step))
        if found is None:
            break
        differs = _differs(job, found)
        words = f"asked otherwise: {', '.join(differs)}" if differs else "asked the same"
        yield Verdict(job.request.iteration, f"decision: {job.step}", not differs, words)
        jobs = (_succeeded(job, found.recorded, now),)
    yield _outcome(run.status, status)


def _model_path(made: Sequence[Made]) -> str:
    return next((str(path) for one in made if (path := getattr(one.request.parameters, "model_path", None))), "/model")


def _asked(made: Sequence[Made], experiment: str) -> bool:
    """Whether the run was such a control experiment."""
    return any(getattr(one.request.parameters, experiment, False) for one in made)


def _differs(job: StepJob, found: Made) -> list[str]:
    """Fields of the request that are not as recorded; attempts are numbered by what went wrong."""
    old, new = found.request.to_json_object(), job.request.to_json_object()
    for request in (old, new):
        request.pop("attempt")
        request.pop("output")
        request["parameters"].pop("resume", None)
    return _paths(old, new)


def _paths(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _paths(cast("dict[str, Any]", before), cast("dict[str, Any]", after), f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name}")
    return found


def _succeeded(job: StepJob, recorded: Recorded, now: datetime) -> JobView:
    result = StepResult(manifest=recorded.digest, figures=recorded.manifest.figures)
    pod = PodView(name=job.name, uid=job.name, started=True, exit_code=0, message=result.to_message())
    number = recorded.attempt
    return JobView(job.name, job.name, job.step, recorded.iteration, number, now, "Succeeded", pod=pod)


def _decided(status: FlywheelRunStatus) -> dict[str, Any]:
    """A status without times; arms and gains by name, as a manifest has them."""

    def sort(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: sort(entry) for name, entry in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            entries = [sort(entry) for entry in cast("list[Any]", value)]
            return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))
        return value

    return cast("dict[str, Any]", sort(status.model_dump(mode="json", exclude=_NOT_DECIDED)))


def _outcome(before: FlywheelRunStatus, after: FlywheelRunStatus) -> Verdict:
    old, new = _decided(before), _decided(after)
    reason = next((entry.reason for entry in before.conditions if entry.type == "Ready"), "")
    if reason in _FROM_OUTSIDE and not ended(after):
        for status in (old, new):
            status.pop("conditions")
    wrong = _paths(old, new)
    words = f"status differs: {', '.join(wrong)}" if wrong else f"the same status, {reason}"
    return Verdict(after.iteration, "decision: outcome", not wrong, words)
