"""Whether the teacher refuses too often: what it will not write is missing from exams and training (SCIENCE 5)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from flywheel.api.conditions import TEACHER_REFUSALS, Reason
from flywheel.api.flywheelrun import FlywheelRunStatus
from flywheel.loop.state import condition

MOST_REFUSED = Decimal("0.1")
_UNWILLING = ("refused", "filtered")


def with_refusals(status: FlywheelRunStatus, generation: int, now: datetime) -> FlywheelRunStatus:
    """The status with TeacherRefusals: True while more than MOST_REFUSED of all replies are refusals or filtered."""
    refused = sum(entry.count for entry in status.replies if entry.rung in _UNWILLING)
    total = sum(entry.count for entry in status.replies)
    before = next((entry for entry in status.conditions if entry.type == TEACHER_REFUSALS), None)
    many = refused > MOST_REFUSED * total
    if before is None and not many:
        return status
    words = f"the teacher refused {refused} of {total} calls, which are not asked again:"
    if many:
        words += " labels may be missing from exams and training; see replies.json of the step, word the task otherwise"
        fresh = condition(before, TEACHER_REFUSALS, "True", Reason.REFUSALS_MANY, words, generation, now)
    else:
        words += " no more than is borne"
        fresh = condition(before, TEACHER_REFUSALS, "False", Reason.REFUSALS_FEW, words, generation, now)
    kept = [entry for entry in status.conditions if entry.type != TEACHER_REFUSALS]
    return status.model_copy(update={"conditions": [*kept, fresh]})
