"""What an adapter loses without a field: paired over exactly the items that were asked without it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import curriculum_spec

from flywheel.api.item import Answer
from flywheel.api.request import MeasureParameters
from flywheel.api.task import Task
from flywheel.statistics.measurement import CANDIDATE, OtherItemsError, difference, measurement

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
