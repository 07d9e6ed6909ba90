"""Underpowered: what the pools can show against what stop asks, and plateau intervals that tell nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from resources import LABELS, curriculum, flywheel_run, ready, run_spec
from simulation import World

from flywheel.api.curriculum import PoolItems, Revision
from flywheel.api.flywheelrun_status import Arm, FlywheelRunStatus, Gain, Iteration, Measured
from flywheel.api.pinned import PinnedRevision
from flywheel.loop.finding import Finding
from flywheel.loop.underpowered import underpowered
from flywheel.statistics.power import detectable_gain

ARM = Arm(name="fewShot", accuracy="0.6000", low="0.5", high="0.7")
PLATEAU = {"plateau": {"patience": 3, "minDelta": "0.07"}}


def found(
    validation: int, test: int, gain: tuple[str, str] | None = None, baseline: bool = True, **stop: Any
) -> Finding | None:
    sizes = {"validation": validation, "test": test}
    pools = [{"name": name, "items": items} for name, items in sizes.items()]
    revision = ready()["revision"] | {"pools": pools}
    gains = [Gain(versus="patience", difference="0.01", low=gain[0], high=gain[1])] if gain else []
    measured = Measured(accuracy="0.7", low="0.6", high="0.8")
    status = FlywheelRunStatus(
        curriculum=PinnedRevision.model_validate(revision),
        baseline=[ARM] if baseline else [],
        current=Iteration(number=4, validation=measured, gains=gains),
    )
    return underpowered(flywheel_run(run_spec(**stop)).spec, status)


def test_the_stated_figures_are_named_with_what_is_asked_and_what_to_do() -> None:
    said = found(300, 1000, **{"plateau": {"patience": 3, "minDelta": "0.05"}, "accuracy": "0.9"})
    assert said is not None and said.holds and said.reason == "TooFewItems"
    assert said.message == (
        "300 validation items show a gain from 0.0624 and 1000 test items show a gain from 0.0418"
        " (80 % power, 15 % of the answers differing); 0.0500 (stop.plateau.minDelta) is asked for:"
        " take more held-out items, or ask for larger gains"
    )


def test_a_target_is_held_against_both_pools_once_the_untrained_arms_are_known() -> None:
    assert found(3000, 100, baseline=False, accuracy="0.65") is None
    said = found(3000, 100, accuracy="0.65")
    assert said is not None and said.holds and "0.0500 (stop.accuracy above the untrained fewShot)" in said.message
    said = found(3000, 3000, accuracy="0.65")
    assert said is not None and not said.holds and said.reason == "EnoughItems"
    assert found(10, 10, accuracy="0.6") is None, "a target that is reached asks for no gain"
    assert found(10, 10) is None, "nothing is asked"


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 300_000))
def test_it_holds_exactly_where_the_gain_asked_for_is_below_the_smallest_shown(
    validation: int, test: int, millionths: int
) -> None:
    said = found(validation, test, plateau={"patience": 1, "minDelta": f"{millionths / 1e6:.6f}"})
    smallest = detectable_gain(validation, 0.15, level=0.95)
    assert said is not None and said.holds == (smallest is None or smallest > millionths / 1e6)


def test_few_items_of_one_label_weigh_on_all() -> None:
    spec = flywheel_run(run_spec(plateau={"patience": 3, "minDelta": "0.07"})).spec
    for counts, holds in (([75] * 4, False), ([280, 5, 5, 10], True)):
        labels = [{"label": label, "items": count} for label, count in zip(LABELS, counts, strict=True)]
        pools = [PoolItems.model_validate({"name": "validation", "items": 300, "labels": labels})]
        revision = PinnedRevision.of(Revision.model_validate(ready()["revision"]), pools)
        said = underpowered(spec, FlywheelRunStatus(curriculum=revision))
        assert said is not None and said.holds == holds


def test_an_interval_that_may_be_nothing_or_enough_is_said_and_taken_back() -> None:
    for gain, holds in ((("-0.02", "0.08"), True), (("0.01", "0.09"), False), (("-0.02", "0.0699"), False)):
        said = found(1000, 1000, gain, **PLATEAU)
        assert said is not None and said.holds == holds
        assert said.reason == ("PlateauUnclear" if holds else "EnoughItems")
    both = found(100, 100, ("-0.02", "0.08"), **PLATEAU)
    assert both is not None and both.reason == "TooFewItems" and "may be nothing or minDelta 0.07" in both.message


def test_a_run_is_pinned_to_the_sizes_of_what_it_is_measured_on() -> None:
    held = curriculum(status=ready()).status
    assert held.revision is not None
    (validation, test) = PinnedRevision.of(held.revision, held.pools).pools
    assert (validation.name, test.name, test.items) == ("validation", "test", 300)
    assert [(entry.label, entry.items) for entry in test.labels] == [(label, 75) for label in LABELS]


def test_a_run_says_it_before_any_money_is_spent_and_goes_on() -> None:
    world = World(spec=run_spec(plateau={"patience": 1, "minDelta": "0.01"}, maxIterations=3))
    world.reconcile()
    held = {entry.type: entry for entry in world.read_status().conditions}
    assert (held["Underpowered"].status, held["Underpowered"].reason) == ("True", "TooFewItems")
    assert [job.step for job in world.created] == ["validate"] and "Stalled" not in held
    assert world.reconcile().status.to_json_object() == world.status, "nothing is written again"
    world.edit(stop={"maxIterations": 1, "plateau": {"patience": 1, "minDelta": "0.1"}})
    world.now = world.now.replace(hour=9)
    held = {entry.type: entry for entry in world.reconcile().status.conditions}
    assert (held["Underpowered"].status, held["Underpowered"].last_transition_time) == ("False", world.now)
    world.edit(stop={"maxIterations": 1})
    assert "Underpowered" not in {entry.type for entry in world.reconcile().status.conditions}
