"""What an adapter loses without a field: paired over exactly the items that were asked without it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import curriculum_spec

from flywheel.api.item import Answer
from flywheel.api.request import MeasureParameters
from flywheel.api.task import Task
from flywheel.statistics.measurement import (
    CANDIDATE,
    INCUMBENT,
    OtherItemsError,
    difference,
    left_for_serving,
    measurement,
    recall_lower_bounds,
)
from flywheel.statistics.power import DISCORDANT, detectable_gain

TASK = Task.model_validate(curriculum_spec()["task"])
ORDER = TASK.label.order
PARAMETERS = MeasureParameters(step="test", model_path="/m", pool="test", untrained_arms=True)
known = st.tuples(st.sampled_from(ORDER), st.sampled_from(ORDER), st.sampled_from([*ORDER, None]), st.booleans())


def answer(place: int, truth: str, label: str | None) -> Answer:
    return Answer(id=str(place), truth=truth, label=label)


@given(st.lists(known, min_size=1, max_size=30).filter(lambda found: any(entry[3] for entry in found)))
def test_the_fall_is_paired_over_the_sample(found: list[tuple[str, str, str | None, bool]]) -> None:
    arm = [answer(place, truth, label) for place, (truth, label, _, _) in enumerate(found)]
    without = [answer(place, truth, blank) for place, (truth, _, blank, asked) in enumerate(found) if asked]
    figures = measurement(PARAMETERS, TASK, {CANDIDATE: arm}, {}, {"code": without}, len(arm), seed=0)
    same = [arm[place] for place, entry in enumerate(found) if entry[3]]
    assert figures.blanked == {"code": difference(same, without, "code", level=0.95, seed=0)}
    assert figures.differences == {} and set(figures.arms) == {CANDIDATE}, "the gate reads these"


def test_a_field_that_is_not_read_shows_no_fall_and_one_that_is_read_does() -> None:
    arm = [answer(place, ORDER[place % len(ORDER)], ORDER[place % len(ORDER)]) for place in range(200)]
    blind = [entry.model_copy(update={"label": ORDER[0]}) for entry in arm[:100]]
    blanked = {"code": blind, "review": arm[100:]}
    found = measurement(PARAMETERS, TASK, {CANDIDATE: arm}, {}, blanked, len(arm), seed=0).blanked
    assert found["code"].low > 0.5
    assert found["review"].difference == 0 and found["review"].low < 0 < found["review"].high


def test_answers_to_other_items_are_no_measurement() -> None:
    arm = [answer(place, ORDER[0], ORDER[0]) for place in range(4)]
    with pytest.raises(OtherItemsError, match="code"):
        measurement(PARAMETERS, TASK, {CANDIDATE: arm}, {}, {"code": [answer(9, ORDER[0], None)]}, 4, seed=0)
    with pytest.raises(OtherItemsError, match="code"):
        measurement(PARAMETERS, TASK, {CANDIDATE: arm}, {}, {"code": [answer(1, ORDER[1], None)]}, 4, seed=0)


@given(st.lists(known, min_size=1, max_size=30).filter(lambda found: any(entry[3] for entry in found)))
def test_an_incumbent_that_answered_fewer_is_compared_over_those(
    found: list[tuple[str, str, str | None, bool]],
) -> None:
    arm = [answer(place, truth, label) for place, (truth, label, _, _) in enumerate(found)]
    fewer = [answer(place, truth, other) for place, (truth, _, other, asked) in enumerate(found) if asked]
    parameters = PARAMETERS.model_copy(update={"recall_versus": [INCUMBENT]})
    figures = measurement(parameters, TASK, {CANDIDATE: arm, INCUMBENT: fewer}, {INCUMBENT: fewer}, {}, 30, seed=0)
    same = [arm[place] for place, entry in enumerate(found) if entry[3]]
    assert figures.differences == {INCUMBENT: difference(same, fewer, INCUMBENT, level=0.95, seed=0)}
    assert figures.recall_lows == pytest.approx(recall_lower_bounds(TASK, same, [fewer], level=0.95), abs=1e-4)
    if len(fewer) < len(arm):
        with pytest.raises(OtherItemsError, match="first"):
            measurement(PARAMETERS, TASK, {CANDIDATE: arm}, {"first": fewer}, {}, 30, seed=0)


def test_without_an_item_left_for_the_incumbent_no_floor_is_measured() -> None:
    arm = [answer(place, ORDER[0], ORDER[0]) for place in range(4)]
    parameters = PARAMETERS.model_copy(update={"recall_versus": [INCUMBENT]})
    assert measurement(parameters, TASK, {CANDIDATE: arm}, {}, {}, 4, seed=0).recall_lows == []
    left = left_for_serving([], 4, level=0.95)
    assert (left.items, left.left_out, left.smallest) == (0, 4, None)


def test_what_is_left_for_the_incumbent_shows_what_as_many_even_items_do() -> None:
    left = left_for_serving([label for label in ORDER for _ in range(60)], 300, level=0.95)
    assert (left.items, left.left_out) == (240, 60)
    assert left.smallest == round(detectable_gain(240, DISCORDANT, level=0.95) or 1, 4)
