"""Whether a run's status can be what the operator wrote: each field must agree with those it was written with.

Status is a cache, and people may write into it. What was taken away at its end is read again from Jobs and workspace;
what contradicts itself is said, for no attempt may be built upon it.
"""

from __future__ import annotations

from decimal import Decimal

from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration
from flywheel.statistics.measurement import INCUMBENT

# Iteration 0: nothing is paid before the base model was loaded and measured. A model on a hub is fetched first.
FETCH = "fetch"
START_STEPS = ("validate", "preflight")
ITERATION_STEPS = ("exam", "answer", "evaluate", "train", "validate")
HISTORY_MAX = 20
_PERHAPS = ("test", "judge", "cleanup")
# What the result of a step brings into its iteration.
_BROUGHT = {
    "answer": ("exam_accuracy",),
    "evaluate": ("proficiency", "training_items"),
    "train": ("adapter", "loss"),
    "validate": ("validation", "gains"),
}


def next_number(status: FlywheelRunStatus) -> int:
    """Number of the iteration that must be at work after those that history holds."""
    if status.history:
        return status.history[-1].number + 1
    return 0 if status.baseline_step is None else 1


def damage(status: FlywheelRunStatus) -> str | None:
    """What cannot be in the status of a run that has not ended, or None."""
    current = status.current
    if current is None:
        return None
    return (
        _numbers(status, current)
        or next((fault for entry in (*status.history, current) if (fault := _steps(entry, current))), None)
        or _baseline(status, current)
        or _best(status, current)
        or _tests(status, current)
    )


def _numbers(status: FlywheelRunStatus, current: Iteration) -> str | None:
    numbers = [entry.number for entry in status.history]
    first = 1 if len(numbers) < HISTORY_MAX else max(numbers[0], 1)
    if numbers != list(range(first, first + len(numbers))):
        return f"status.history holds the iterations {numbers}"
    started = not numbers and current.number == 0 and _measured(current)
    if not started and current.number != (wanted := next_number(status)):
        return f"status.current is iteration {current.number}, and by history and baseline it must be {wanted}"
    if status.pod is not None and status.pod.iteration > current.number:
        return f"status.pod is of iteration {status.pod.iteration}, and {current.number} is at work"
    return None


def _measured(current: Iteration) -> bool:
    return any(step.name == "validate" for step in current.steps)


def _steps(entry: Iteration, current: Iteration) -> str | None:
    names = tuple(step.name for step in entry.steps)
    if not entry.number and names[:1] == (FETCH,):
        names = names[1:]
    order = (*ITERATION_STEPS, *(name for name in _PERHAPS if name in names)) if entry.number else START_STEPS
    fewest = 0 if entry is current else len(ITERATION_STEPS)
    if names != order[: len(names)] or len(names) < fewest:
        return f"iteration {entry.number} has the steps {', '.join(names) or 'none'}"
    for step in names if entry.number else ():
        for field in _BROUGHT.get(step, ()):
            if getattr(entry, field) in (None, []):
                return f"iteration {entry.number} has a result of {step} but no {field}"
    if "judge" in names and not entry.tested:
        return f"iteration {entry.number} is judged and not tested"
    if entry.tested + entry.refused != names.count("test"):
        return f"iteration {entry.number} is tested (or refused one) and has no test, or the other way round"
    return None


def _baseline(status: FlywheelRunStatus, current: Iteration) -> str | None:
    if (current.number or _measured(current)) and (status.baseline_step is None or not status.baseline):
        return "status.baseline or baselineStep is missing"
    if status.serving is None and any(arm.name == INCUMBENT for arm in status.baseline):
        return "status.baseline has the arm incumbent, and status.serving is missing"
    return None


def _best(status: FlywheelRunStatus, current: Iteration) -> str | None:
    measured = [entry.validation for entry in (*status.history, current) if entry.validation is not None]
    highest = max((Decimal(entry.accuracy) for entry in measured), default=None)
    best = None if status.best is None else Decimal(status.best.accuracy)
    if highest is not None and (best is None or best < highest):
        return f"status.best is {best}, and an iteration has {highest}"
    measured_last = current.number if current.validation is not None else current.number - 1
    if status.best is not None and status.best.iteration > measured_last:
        return f"status.best is of iteration {status.best.iteration}, which has no validation"
    return None


def _tests(status: FlywheelRunStatus, current: Iteration) -> str | None:
    tested = sum(entry.tested for entry in (*status.history, current))
    if status.test_openings < tested:
        return f"status.testOpenings is {status.test_openings}, and {tested} iterations are tested"
    fields = ("test", "first_test", "first_test_iteration")
    opened = any(getattr(status, field) is not None for field in fields) or tested > 0
    for field in fields:
        if (getattr(status, field) is not None) != opened or (opened and not status.test_openings):
            return f"status.testOpenings is {status.test_openings}, which does not agree with {field}"
    passed, candidate = status.test is not None and status.test.passed, status.candidate
    tested_last = current.number if current.tested else current.number - 1
    if candidate is not None and (not opened or candidate.iteration > tested_last):
        return f"status.candidate is of iteration {candidate.iteration}, which has no test"
    if passed and (candidate is None or status.test is None or candidate.iteration != status.test.iteration):
        return "status.candidate is not the one that status.test says has passed"
    if (candidate is None) != (status.first_candidate is None):
        return "status.candidate and firstCandidate are not both there"
    return None
