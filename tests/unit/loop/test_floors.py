"""Floors of recall: blocked where they cannot be held, and what a run does with them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import LABELS, flywheel_run, ready, run_spec
from simulation import World

from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.pinned import PinnedRevision
from flywheel.api.request import MeasureParameters, StepRequest
from flywheel.loop.floors import floor_reports, floors_blocked
from flywheel.statistics.paired import Pairs, tango


def spec_of(**floor: Any) -> FlywheelRunSpec:
    return flywheel_run(run_spec() | {"gate": {"labels": [{"label": "major", "margin": "0.1"} | floor]}}).spec


def status_of(*items: int) -> FlywheelRunStatus:
    counts = [{"label": label, "items": count} for label, count in zip(LABELS, items, strict=False)]
    pools = [{"name": "test", "items": sum(items), "labels": counts}] if items else []
    return FlywheelRunStatus(curriculum=PinnedRevision.model_validate(ready()["revision"] | {"pools": pools}))


@pytest.mark.parametrize(
    ("floor", "items", "words"),
    [
        ({"label": "blocker"}, (99, 99), "spec.gate.labels[0].label: 'blocker' is no label of the test pool (critical"),
        ({}, (), "spec.gate.labels[0].label: 'major' is no label of the test pool (not known)"),
        ({"minItems": 40}, (99, 39), "minItems: 40 are asked for, the test pool has 39 of 'major'"),
        ({}, (99, 59), "spec.gate.labels[0].margin: 59 items of 'major' cannot show 0.1, even if no answer differs: "),
        ({"margin": "0"}, (99, 99999), "it takes a margin above 0"),
    ],
)
def test_a_floor_that_cannot_be_held_is_said_with_its_path(
    floor: dict[str, Any], items: tuple[int, ...], words: str
) -> None:
    found = floors_blocked(spec_of(**floor), status_of(*items))
    assert found is not None and (found.kind, found.reason) == ("blocked", "GateLabels") and words in found.message
    assert floors_blocked(spec_of(), status_of(60, 60)) is None


@given(st.integers(1, 3000), st.integers(1, 5000), st.integers(1, 10))
def test_enough_items_are_those_that_could_show_it(items: int, margin: int, openings: int) -> None:
    """By Tango's own bound: with no answer that differs, it lies above minus the margin or never."""
    floor = {"label": "critical", "margin": str(Decimal(margin) / 10000), "minItems": 1}
    spec = flywheel_run(run_spec() | {"gate": {"maxTestOpenings": openings, "labels": [floor]}}).spec
    low = tango(Pairs(0, 0, items), level=1 - 0.05 / openings).low
    blocked = floors_blocked(spec, status_of(items)) is not None
    assert blocked == (low <= -margin / 10000) or abs(low + margin / 10000) < 1e-9


@given(st.lists(st.floats(-1, 1), max_size=4), st.integers(0, 9999))
def test_a_floor_is_held_where_the_lower_bound_is_above_minus_its_margin(lows: list[float], margin: int) -> None:
    spec = spec_of(label="major", margin=str(Decimal(margin) / 10000))
    (found,) = floor_reports(spec, status_of(9, 9, 9, 9), lows)
    low = round(Decimal(lows[1]), 4) if len(lows) > 1 else Decimal(-1)  # by the order of the labels
    assert found.label == "major" and Decimal(found.low) == low
    assert found.held == (low > -Decimal(margin) / 10000)


class LossyWorld(World):
    """The test of iteration 2 loses recall of one label."""

    def _measured(self, request: StepRequest) -> dict[str, Any]:
        measured = super()._measured(request)
        if request.step == "test" and request.iteration == 2:
            measured["recall_lows"] = [-0.01, -0.2, -0.01, -0.01]
        return measured


def test_a_lost_label_is_not_promoted_and_the_first_promoted_is_compared_with() -> None:
    floors = [{"label": label, "margin": "0.1"} for label in ("critical", "major")]
    world = LossyWorld(spec=run_spec(maxIterations=4) | {"gate": {"labels": floors}})
    world.accuracies = [0.3, 0.5, 0.6, 0.7, 0.8]
    status = world.to_end()
    rejected = next(event.message for event in world.events if event.reason == "CandidateRejected")
    assert "iteration 2" in rejected and "major (-0.2000)" in rejected and "critical" not in rejected
    assert status.candidate is not None and status.first_candidate is not None and status.test is not None
    assert (status.first_candidate.iteration, status.candidate.iteration) == (1, 4)
    assert [(floor.label, floor.held) for floor in status.test.floors] == [("critical", True), ("major", True)]
    asked = {}
    for job in world.created:
        if job.step == "test" and isinstance(job.request.parameters, MeasureParameters):
            compared = [entry.name for entry in job.request.parameters.comparisons]
            asked[job.request.iteration] = (compared, job.request.parameters.recall_versus)
    assert asked == {
        1: ([], ["base"]),
        2: (["incumbent"], ["incumbent"]),
        3: (["incumbent"], ["incumbent"]),
        4: (["incumbent", "first"], ["incumbent", "first"]),
    }


def test_a_run_with_a_floor_of_no_label_spends_nothing_until_it_is_mended() -> None:
    world = World(spec=run_spec() | {"gate": {"labels": [{"label": "blocker", "margin": "0.1"}]}})
    plan = world.reconcile()
    stalled = next(entry for entry in plan.status.conditions if entry.type == "Stalled")
    assert stalled.reason == "GateLabels" and "spec.gate.labels[0].label" in stalled.message and not plan.create
    assert world.reconcile().status.to_json_object() == world.status
    world.edit(gate={"labels": [{"label": "major", "margin": "0.1"}]})
    assert world.reconcile().create
