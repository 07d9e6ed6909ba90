"""What is said of a resource that does not fit its type: Stalled, with the field; nothing else of it is touched."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flywheel.api.conditions import COMPLETED, FAILED, Condition, Event, Reason
from flywheel.controller.apply import Subject, Tools, put_status
from flywheel.controller.events import record
from flywheel.controller.fields import mapping
from flywheel.loop.state import State, conditions, holds

_CONDITIONS: TypeAdapter[list[Condition]] = TypeAdapter(list[Condition])


def stall(tools: Tools, subject: Subject, raw: dict[str, Any], reason: Reason, message: str, now: datetime) -> None:
    """Write Stalled with this reason. The rest of the status stays, whether it can be read or not."""
    status = mapping(raw, "status")
    try:
        old = _CONDITIONS.validate_python(status.get("conditions") or [])
    except ValidationError:
        old = []
    fresh = conditions(old, State("blocked", reason, message), subject.generation, now)
    if fresh == old or holds(old, COMPLETED) or holds(old, FAILED):
        return
    said = {"conditions": [entry.to_json_object() for entry in fresh], "observedGeneration": subject.generation}
    put_status(tools, subject, {**status, **said})
    if not any(entry.message == message for entry in old):
        record(tools.api, subject.owner, Event(type="Warning", reason=reason, message=message), now, tools.settings.pod)
