"""Two runs side by side, and what may be said of their difference: figures in, figures and words out.

Status has an interval for each run, not their paired difference. From two intervals alone a difference is shown only
where they do not overlap; items that both were measured on would tell more.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal, cast

from pydantic import Field

from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import Arm, Measured
from flywheel.api.model import Open

Verdict = Literal["higher", "lower", "not shown", "not comparable"]
_SETTINGS = ("curriculumRef", "student", "teacher", "exam", "training", "gate", "stop", "seed", "control")


class Setting(Open):
    """A setting in which the runs differ."""

    field: str
    first: Any
    second: Any


class Row(Open):
    """One figure of both."""

    what: str
    first: Measured | None
    second: Measured | None
    difference: str | None = Field(description="Second minus first; absent where either is.")
    verdict: Verdict | None = Field(description="Of the second against the first.")


class Comparison(Open):
    """What two runs have and how far it differs."""

    first: str
    second: str
    settings: list[Setting]
    rows: list[Row]
    notes: list[str]


def compare(first: FlywheelRun, second: FlywheelRun) -> Comparison:
    """Of two runs."""
    same_items = _same_items(first, second)
    rows = [
        _row("untrained student", _base(first), _base(second), same_items),
        _row("validation, newest adapter", first.status.validation, second.status.validation, same_items),
        _row("validation, best adapter", _best(first), _best(second), same_items),
        _row("test, newest tested adapter", first.status.test, second.status.test, same_items),
    ]
    return Comparison(
        first=first.metadata.name,
        second=second.metadata.name,
        settings=list(_settings(first, second)),
        rows=[row for row in rows if row.first is not None or row.second is not None],
        notes=list(_notes(first, second, same_items)),
    )


def verdict(first: Measured, second: Measured, same_items: bool) -> Verdict:
    """Intervals that touch show nothing. Figures of different items are not compared at all."""
    if not same_items:
        return "not comparable"
    if Decimal(second.low) > Decimal(first.high):
        return "higher"
    if Decimal(second.high) < Decimal(first.low):
        return "lower"
    return "not shown"


def _row(what: str, first: Measured | None, second: Measured | None, same_items: bool) -> Row:
    # Of arms and test reports only what is measured.
    both = [Measured.model_validate(entry.model_dump()) if entry is not None else None for entry in (first, second)]
    one, other = both
    if one is None or other is None:
        return Row(what=what, first=one, second=other, difference=None, verdict=None)
    difference = f"{Decimal(other.accuracy) - Decimal(one.accuracy):+.4f}"
    return Row(what=what, first=one, second=other, difference=difference, verdict=verdict(one, other, same_items))


def _same_items(first: FlywheelRun, second: FlywheelRun) -> bool:
    pinned = [run.status.curriculum for run in (first, second)]
    return all(entry is not None for entry in pinned) and len({entry.digest for entry in pinned if entry}) == 1


def _base(run: FlywheelRun) -> Arm | None:
    return next((arm for arm in run.status.baseline if arm.name == "base"), None)


def _best(run: FlywheelRun) -> Measured | None:
    """Of the iteration that status.best names, as far as history goes back."""
    best = run.status.best
    if best is None:
        return None
    rows = [*run.status.history, *([run.status.current] if run.status.current is not None else [])]
    return next((entry.validation for entry in rows if entry.number == best.iteration), None)


def _settings(first: FlywheelRun, second: FlywheelRun) -> Iterator[Setting]:
    one, other = (run.spec.to_json_object() for run in (first, second))
    for field in _SETTINGS:
        yield from _differing(f"spec.{field}", one.get(field), other.get(field))


def _differing(path: str, one: Any, other: Any) -> Iterator[Setting]:
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        for name in sorted({*ours, *theirs}):
            yield from _differing(f"{path}.{name}", ours.get(name), theirs.get(name))
    elif one != other:
        yield Setting(field=path, first=one, second=other)


def _notes(first: FlywheelRun, second: FlywheelRun, same_items: bool) -> Iterator[str]:
    if not same_items:
        yield "The runs are pinned to different revisions: their items differ, and so their figures do not compare."
        return
    yield (
        "Not shown: the intervals overlap, which does not say that the runs are alike. Both were measured on the same"
        " items; only the paired difference of their answers would tell."
    )
    if first.status.best is not None and second.status.best is not None:
        yield "The best adapter on validation was chosen for its figure there, which flatters it; test does not."
    levels = {(run.spec.gate.alpha, run.spec.gate.max_test_openings) for run in (first, second)}
    if len(levels) > 1 and first.status.test is not None and second.status.test is not None:
        yield "gate.alpha or maxTestOpenings differ: the test intervals are of different levels."
