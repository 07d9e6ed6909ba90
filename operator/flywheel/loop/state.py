"""The state a resource is in, and the table from states to conditions (DESIGN 4).

Conditions that are abnormal when true (Reconciling, Stalled) are there only while they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flywheel.api.conditions import COMPLETED, FAILED, READY, RECONCILING, STALLED, Condition, Event, Reason

Kind = Literal["working", "blocked", "suspended", "ready", "completed", "failed"]


@dataclass(frozen=True)
class State:
    """What a resource is doing, why, and what to do about it."""

    kind: Kind
    reason: Reason
    message: str


_TABLE: dict[Kind, dict[str, Literal["True", "False"]]] = {
    "working": {READY: "False", RECONCILING: "True"},
    "blocked": {READY: "False", STALLED: "True"},
    "suspended": {READY: "False"},
    "ready": {READY: "True"},
    "completed": {READY: "True", COMPLETED: "True"},
    "failed": {READY: "False", STALLED: "True", FAILED: "True"},
}
_OURS = {READY, RECONCILING, STALLED, COMPLETED, FAILED}
_MESSAGE_MAX = 1024


def conditions(old: list[Condition], state: State, generation: int, now: datetime) -> list[Condition]:
    """The conditions of a state; lastTransitionTime moves only when a status changes. Others' types are kept."""
    before = {condition.type: condition for condition in old}
    kept = [condition for condition in old if condition.type not in _OURS]
    fresh = [
        condition(before.get(kind), kind, status, state.reason, state.message, generation, now)
        for kind, status in _TABLE[state.kind].items()
    ]
    return fresh + kept


def condition(
    before: Condition | None,
    kind: str,
    status: Literal["True", "False", "Unknown"],
    reason: Reason,
    message: str,
    generation: int,
    now: datetime,
) -> Condition:
    """One condition, with the time of its last change carried over."""
    unchanged = before is not None and before.status == status
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message[:_MESSAGE_MAX],
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before is not None and unchanged else now,
    )


def holds(found: list[Condition], kind: str) -> bool:
    """Whether a condition is True."""
    return any(entry.type == kind and entry.status == "True" for entry in found)


def news(old: list[Condition], state: State) -> tuple[Event, ...]:
    """The event that tells of a state which `old` does not yet show; work going on is told by its steps instead."""
    told = any(entry.reason == state.reason and entry.message == state.message for entry in old)
    if told or state.kind == "working":
        return ()
    bad = state.kind in ("blocked", "failed")
    return (Event(type="Warning" if bad else "Normal", reason=state.reason, message=state.message),)
