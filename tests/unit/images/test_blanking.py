"""Which fields are left empty, in which items, and that nothing else of an item changes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "student"))

from flywheel.api.item import Item
from flywheel.api.task import Task
from flywheel_student.blanking import blanked, sampled, text_fields

values = st.text(max_size=5) | st.integers() | st.none()
inputs = st.dictionaries(st.sampled_from(["code", "review", "lines"]), values)


def items_of(every: list[dict[str, Any]]) -> list[Item]:
    return [
        Item(id=f"item{place}", input=each, output={"label": "a"}, group="g", source="s", truth="Rule")
        for place, each in enumerate(every)
    ]


def task(*names: str) -> Task:
    shown = {"type": "object", "properties": {name: {} for name in names}, "required": list(names)}
    label = {"path": "label", "order": ["a", "b"]}
    return Task.model_validate({"instructions": "x", "inputSchema": shown, "outputSchema": {}, "label": label})


@given(st.lists(inputs, max_size=12), st.integers(0, 12), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_sample_depends_on_seed_and_items_alone(
    every: list[dict[str, Any]], most: int, seed: int, chance: Any
) -> None:
    items = items_of(every)
    found = sampled(items, most, seed)
    assert len(found) == min(most, len(items)) and all(item in items for item in found)
    chance.shuffle(items)
    assert sampled(items, most, seed) == found
    assert sampled(items, most + 1, seed)[:most] == found


def test_another_seed_draws_others() -> None:
    items = items_of([{}] * 100)
    assert len({tuple(item.id for item in sampled(items, 10, seed)) for seed in range(5)}) == 5


@given(inputs, st.sampled_from(["code", "review", "lines", "other"]))
def test_only_the_text_of_the_field_is_gone(question: dict[str, Any], field: str) -> None:
    (item,) = items_of([question])
    found = blanked(item, field)
    assert found.model_copy(update={"input": {}}) == item.model_copy(update={"input": {}})
    assert list(found.input) == list(question), "shown in the same order"
    assert all(found.input[name] == question[name] for name in question if name != field)
    if isinstance(question.get(field), str):
        assert found.input[field] == ""
    else:
        assert found == item


def test_fields_that_hold_texts_are_taken_as_the_student_sees_them(caplog: pytest.LogCaptureFixture) -> None:
    items = items_of([{"lines": 3, "review": "r", "hidden": "h"}, {"code": "c", "lines": 4}])
    assert text_fields(task("review", "lines", "code"), items) == ["review", "code"]
    assert text_fields(task("review"), []) == [] and not caplog.records


def test_fields_that_figures_have_no_room_for_are_said(caplog: pytest.LogCaptureFixture) -> None:
    names = ["a", "../b", "c" * 33, "d", "e-2", "f.3", "g"]
    assert text_fields(task(*names), items_of([dict.fromkeys(names, "text")])) == ["a", "d", "e-2", "f.3"]
    assert str(["../b", "c" * 33, "g"]) in caplog.text
