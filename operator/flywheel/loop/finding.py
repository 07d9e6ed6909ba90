"""What is found out about a resource beside the state it is in: conditions that inform and hold nothing up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from flywheel.api.conditions import Reason
from flywheel.api.curriculum import CurriculumStatus
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.loop.state import condition

_SAID: dict[bool | None, Literal["True", "False", "Unknown"]] = {True: "True", False: "False", None: "Unknown"}
Status = TypeVar("Status", CurriculumStatus, FlywheelRunStatus)


@dataclass(frozen=True)
class Finding:
    """Whether it holds (None: not known yet), why, and what to do about it."""

    holds: bool | None
    reason: Reason
    message: str


def with_finding(status: Status, kind: str, finding: Finding | None, generation: int, now: datetime) -> Status:
    """The status with this condition, or without it where nothing is found; equal where nothing is new."""
    before = next((entry for entry in status.conditions if entry.type == kind), None)
    kept = [entry for entry in status.conditions if entry.type != kind]
    if finding is not None:
        kept.append(condition(before, kind, _SAID[finding.holds], finding.reason, finding.message, generation, now))
    return status.model_copy(update={"conditions": kept})
