"""What is said of a resource that does not fit its type: Stalled, with the field; nothing else of it is touched."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from flywheel.api.conditions import Event, Reason
from flywheel.controller.apply import AnyStatus, Subject, Tools, write
from flywheel.loop.state import State, conditions


def stall(
    tools: Tools,
    subject: Subject,
    status_type: type[AnyStatus],
    raw: dict[str, Any],
    reason: Reason,
    message: str,
    now: datetime,
) -> None:
    """Write Stalled with this reason. A status that cannot be read either is begun anew."""
    try:
        old = status_type.model_validate(raw.get("status") or {})
    except ValidationError:
        old = status_type()
    state = State("blocked", reason, message)
    told = any(entry.message == message for entry in old.conditions)
    fresh = {
        "conditions": conditions(old.conditions, state, subject.generation, now),
        "observed_generation": subject.generation,
    }
    events = () if told else (Event(type="Warning", reason=reason, message=message),)
    write(tools, subject, old, old.model_copy(update=fresh), events, now)
