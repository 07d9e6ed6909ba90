"""LeakageChecked and the counts in status say what the firewall did, over all steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from simulation import World

from flywheel.api.conditions import LEAKAGE_CHECKED
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.result import EvaluateFigures, ExamFigures
from flywheel.loop.finding import with_finding
from flywheel.loop.leakage import counted, leakage_checked


def checked(status: FlywheelRunStatus, now: datetime) -> FlywheelRunStatus:
    return with_finding(status, LEAKAGE_CHECKED, leakage_checked(status), 1, now)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXAM = ExamFigures(questions=4, checked=10, quarantined={"HeldOutNear": 2}, redacted={"secrets": 3})
EVALUATE = EvaluateFigures(
    proficiency=3,
    new_examples=4,
    training_items=5,
    checked=20,
    quarantined={"HeldOutCopy": 1, "HeldOutNear": 1},
    redacted={"emails": 1, "secrets": 1},
)


def test_counts_add_up_over_steps() -> None:
    status = counted(counted(FlywheelRunStatus(), EXAM), EVALUATE)
    assert status.leakage is not None
    assert status.leakage.checked == 30
    assert {entry.reason: entry.items for entry in status.leakage.quarantined} == {"HeldOutCopy": 1, "HeldOutNear": 3}
    assert {entry.kind: entry.replaced for entry in status.redacted} == {"emails": 1, "secrets": 4}


def test_the_condition_tells_of_leaks_and_keeps_its_time() -> None:
    assert checked(FlywheelRunStatus(), NOW).conditions == []
    clean = EXAM.model_copy(update={"quarantined": {}})
    status = checked(counted(FlywheelRunStatus(), clean), NOW)
    (condition,) = status.conditions
    assert (condition.type, condition.status, condition.reason) == ("LeakageChecked", "True", "NoLeak")
    status = checked(counted(status, EVALUATE), NOW + timedelta(hours=1))
    (condition,) = status.conditions
    assert (condition.reason, condition.last_transition_time) == ("LeaksQuarantined", NOW)
    assert "30 items" in condition.message
    assert "HeldOutCopy 1, HeldOutNear 1" in condition.message


def test_a_run_shows_it_to_its_end() -> None:
    world = World()
    status = world.to_end()
    assert [entry.status for entry in status.conditions if entry.type == "LeakageChecked"] == ["True"]
