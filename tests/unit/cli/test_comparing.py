"""Two runs side by side: a difference is claimed only where the intervals show it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from resources import digest, flywheel_run, run_spec

from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import Measured
from flywheel.cli.comparing import compare, verdict

POINTS = st.decimals(0, 1, places=4)
OTHER_WAY = {"higher": "lower", "lower": "higher", "not shown": "not shown"}


@st.composite
def intervals(draw: st.DrawFn) -> Measured:
    low, value, high = sorted((draw(POINTS), draw(POINTS), draw(POINTS)))
    return Measured(accuracy=str(value), low=str(low), high=str(high))


def run(items: str, validation: dict[str, str], **spec: Any) -> FlywheelRun:
    status = {
        "curriculum": {"name": "r", "path": "p", "digest": digest(items)},
        "validation": validation,
        "history": [{"number": 1, "validation": validation}],
    }
    return flywheel_run(run_spec() | spec, status)


@given(intervals(), intervals())
def test_only_intervals_apart_show_a_difference(first: Measured, second: Measured) -> None:
    found = verdict(first, second, same_items=True)
    assert OTHER_WAY[found] == verdict(second, first, same_items=True)
    overlap = Decimal(first.low) <= Decimal(second.high) and Decimal(second.low) <= Decimal(first.high)
    assert (found == "not shown") == overlap
    if found == "higher":
        assert Decimal(second.accuracy) > Decimal(first.accuracy)


@given(intervals(), intervals())
def test_figures_of_other_items_are_not_compared(first: Measured, second: Measured) -> None:
    assert verdict(first, second, same_items=False) == "not comparable"


def test_settings_that_differ_are_named_and_rows_are_signed() -> None:
    low = {"accuracy": "0.5000", "low": "0.4000", "high": "0.6000"}
    high = {"accuracy": "0.8000", "low": "0.7000", "high": "0.9000"}
    found = compare(run("same", low), run("same", high, seed=3, training={"maxSteps": 300}))
    assert {entry.field: (entry.first, entry.second) for entry in found.settings} == {
        "spec.seed": (0, 3),
        "spec.training.maxSteps": (200, 300),
    }
    rows = {row.what: row for row in found.rows}
    assert set(rows) == {"validation, newest adapter"}
    newest = rows["validation, newest adapter"]
    assert (newest.difference, newest.verdict) == ("+0.3000", "higher")
    assert any("paired difference" in note for note in found.notes)


def test_other_items_are_said_and_not_compared() -> None:
    figures = {"accuracy": "0.5", "low": "0.4", "high": "0.6"}
    found = compare(run("one", figures), run("other", figures))
    assert {row.verdict for row in found.rows} == {"not comparable"}
    assert "different revisions" in found.notes[0]
