"""Labels whose recall may not fall (spec.gate.labels): whether they can be held at all, and whether they are."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import ceil

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FloorReport, FlywheelRunStatus
from flywheel.api.model import decimal_text
from flywheel.loop.openings import share_of_alpha
from flywheel.loop.state import State
from flywheel.statistics.intervals import two_sided_z


def floors_blocked(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> State | None:
    """Said before anything is spent: a floor of no label of the task, or that the test pool's items cannot show."""
    counts = _test_items(status)
    for place, floor in enumerate(spec.gate.labels):
        field, items = f"spec.gate.labels[{place}]", counts.get(floor.label)
        if items is None:
            known = ", ".join(counts) or "not known"
            return _blocked(f"{field}.label: {floor.label!r} is no label of the test pool ({known}): name one of them")
        if items < floor.min_items:
            short = f"{floor.min_items} are asked for, the test pool has {items} of {floor.label!r}"
            return _blocked(f"{field}.minItems: {short}: give more held-out items, or ask for fewer")
        needed = _fewest_items(floor.margin, 1 - share_of_alpha(spec))
        if needed is None or items < needed:
            short = f"{items} items of {floor.label!r} cannot show {floor.margin}, even if no answer differs"
            least = "a margin above 0" if needed is None else f"at least {needed} items, or a larger margin"
            return _blocked(f"{field}.margin: {short}: it takes {least}")
    return None


def _blocked(message: str) -> State:
    return State("blocked", Reason.GATE_LABELS, message)


def _test_items(status: FlywheelRunStatus) -> dict[str, int]:
    pool = status.curriculum.pool("test") if status.curriculum is not None else None
    return {entry.label: entry.items for entry in pool.labels} if pool is not None else {}


def _fewest_items(margin: Decimal, level: Decimal) -> int | None:
    """Items from which on Tango's lower bound without differing pairs, -z^2 / (items + z^2), is above -margin."""
    if margin == 0:
        return None
    z = two_sided_z(float(level))
    return ceil(z * z * (1 - float(margin)) / float(margin) + 1e-9)


def floor_reports(spec: FlywheelRunSpec, status: FlywheelRunStatus, lows: Sequence[float]) -> list[FloorReport]:
    """Each floor with what was measured: `lows` is per label of the task, the lower bound of the paired difference.

    What was not measured is not held.
    """
    measured = dict(zip(_test_items(status), lows, strict=False))
    found: list[FloorReport] = []
    for floor in spec.gate.labels:
        low = Decimal(decimal_text(measured.get(floor.label, -1.0)))
        held = low > -floor.margin
        found.append(FloorReport(label=floor.label, low=decimal_text(low), margin=str(floor.margin), held=held))
    return found
