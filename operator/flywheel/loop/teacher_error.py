"""TeacherUnreliable: how often the teacher labels trusted items wrongly, pooled over iterations (SCIENCE 5).

Said, never a reason to stop: what is promoted is proven on labels that are not the teacher's.
"""

from __future__ import annotations

from decimal import Decimal

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun_status import FlywheelRunStatus, TeacherError
from flywheel.api.model import decimal_text
from flywheel.api.result import EvaluateFigures, ExamFigures
from flywheel.loop.finding import Finding
from flywheel.statistics.intervals import wilson

LEVEL = 0.95
# With 25 items of a label, as one iteration asks of four, 3 wrong ones are still borne.
MOST_ERROR = Decimal("0.3")
SHOWN = 6


def with_teacher_error(status: FlywheelRunStatus, figures: ExamFigures | EvaluateFigures) -> FlywheelRunStatus:
    """The status with what one more step found of the teacher's labels."""
    status = status.model_copy(update={"voted_out": status.voted_out + figures.voted_out})
    if not isinstance(figures, ExamFigures) or not figures.blind:
        return status
    before = {entry.label: entry for entry in status.teacher_error}
    found = [
        _pooled(label, before.get(label), *counts)
        for label, counts in zip(_labels(status), figures.blind, strict=False)
    ]
    return status.model_copy(update={"teacher_error": found})


def _labels(status: FlywheelRunStatus) -> list[str]:
    pool = status.curriculum.pool("validation") if status.curriculum is not None else None
    return [entry.label for entry in pool.labels] if pool is not None else []


def _pooled(label: str, before: TeacherError | None, items: int, wrong: int, refused: int) -> TeacherError:
    if before is not None:
        items, wrong, refused = items + before.items, wrong + before.wrong, refused + before.refused
    wrong = min(wrong, items)  # a pod may say anything
    error = wilson(wrong, items, level=LEVEL) if items else None
    return TeacherError(
        label=label,
        items=items,
        wrong=wrong,
        refused=refused,
        error=decimal_text(error.value if error else 0.0),
        low=decimal_text(error.low if error else 0.0),
        high=decimal_text(error.high if error else 1.0),
    )


def unreliable(status: FlywheelRunStatus) -> Finding | None:
    """Whether the error of any label may be above MOST_ERROR; None where nothing was labelled."""
    measured = [entry for entry in status.teacher_error if entry.items]
    if not measured:
        return None
    proven = [entry for entry in measured if Decimal(entry.low) > MOST_ERROR]
    possible = [entry for entry in measured if Decimal(entry.high) > MOST_ERROR]
    if proven:
        words = (
            f"the teacher labels trusted items wrongly: {_words(proven)}; its exams and examples of these labels are"
            " not to be trusted: use a better teacher, word the task clearer, or look whether the trusted"
            " labels are right (takenFor in replies.json of exam)"
        )
        return Finding(True, Reason.LABELS_WRONG, words)
    if possible:
        words = f"the teacher may label more than {MOST_ERROR} of trusted items wrongly: {_words(possible)}"
        return Finding(
            None, Reason.LABELS_UNCLEAR, f"{words}; more iterations, or more items of the exam pool, will tell"
        )
    return Finding(False, Reason.LABELS_RIGHT, f"the teacher labels trusted items well enough: {_words(measured)}")


def _words(entries: list[TeacherError]) -> str:
    worst = sorted(entries, key=lambda entry: Decimal(entry.error), reverse=True)[:SHOWN]
    words = ", ".join(f"{entry.label[:24]} {entry.error} ({entry.low} to {entry.high})" for entry in worst)
    return words if len(entries) <= SHOWN else f"{words} and {len(entries) - SHOWN} more"
