"""QuotasShort: labels of which the teacher wrote fewer exam questions or training examples than were asked, and why."""

from __future__ import annotations

from flywheel.api.conditions import QUOTAS_SHORT, Reason
from flywheel.api.flywheelrun_status import FlywheelRunStatus, Shortage
from flywheel.api.result import EvaluateFigures, ExamFigures
from flywheel.loop.finding import Finding

_SHOWN = 6
_WHAT = {"exam": "questions", "evaluate": "examples"}
_WHY = {
    "Budget": "the budget covers no further call",
    "Refused": "refused by the teacher",
    "RoundsUsed": "too few were written in all rounds",
}


def noted(status: FlywheelRunStatus, figures: ExamFigures | EvaluateFigures) -> FlywheelRunStatus:
    """The status with what this step falls short of, instead of what it did the last time."""
    missing = {place: (count, reason) for reason, found in figures.short.items() for place, count in found.items()}
    fresh = [
        Shortage(step=figures.step, label=_label(status, place), missing=count, reason=reason)
        for place, (count, reason) in sorted(missing.items())
    ]
    others = [entry for entry in status.shortages if entry.step != figures.step]
    return status.model_copy(
        update={"shortages": sorted([*others, *fresh], key=lambda entry: entry.step == "evaluate")}
    )


def _label(status: FlywheelRunStatus, place: int) -> str:
    """A label by its place in the order of the pinned revision."""
    pool = status.curriculum.pool("validation") if status.curriculum is not None else None
    labels = [entry.label for entry in pool.labels] if pool is not None else []
    return labels[place] if place < len(labels) else f"label {place + 1}"


def shortages(status: FlywheelRunStatus) -> Finding | None:
    """Whether the newest exam or training examples fall short; None where they never did."""
    if not status.shortages:
        if any(entry.type == QUOTAS_SHORT for entry in status.conditions):
            words = "as many exam questions and training examples of every label as were asked for"
            return Finding(False, Reason.QUOTAS_MET, words)
        return None
    worst = sorted(status.shortages, key=lambda entry: -entry.missing)
    told = [
        f"{entry.missing} {_WHAT[entry.step]} of {entry.label} ({_WHY.get(entry.reason, f'most were {entry.reason}')})"
        for entry in worst[:_SHOWN]
    ]
    more = f", and {len(worst) - _SHOWN} labels more" if len(worst) > _SHOWN else ""
    words = f"missing: {', '.join(told)}{more}; see replies.json of the step; the run goes on with what there is"
    return Finding(True, Reason.ITEMS_MISSING, words)
