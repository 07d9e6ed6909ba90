"""TeacherRefusals: what the teacher will not write is missing from exams and training (SCIENCE 5)."""

from __future__ import annotations

from decimal import Decimal

from flywheel.api.conditions import TEACHER_REFUSALS, Reason
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.result import UNWILLING
from flywheel.loop.finding import Finding

MOST_REFUSED = Decimal("0.1")


def refusals(status: FlywheelRunStatus) -> Finding | None:
    """Whether more than MOST_REFUSED of all replies are refusals or filtered; None where they never were so many."""
    refused = sum(entry.count for entry in status.replies if entry.rung in UNWILLING)
    total = sum(entry.count for entry in status.replies)
    words = f"the teacher refused {refused} of {total} calls, which are not asked again:"
    if refused > MOST_REFUSED * total:
        words += " labels may be missing from exams and training; see replies.json of the step, word the task otherwise"
        return Finding(True, Reason.REFUSALS_MANY, words)
    if any(entry.type == TEACHER_REFUSALS for entry in status.conditions):
        return Finding(False, Reason.REFUSALS_FEW, f"{words} no more than is borne")
    return None
