"""What serves is not asked about groups that it was trained on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.item import Item
from flywheel.data.contamination import TrainedOn, untouched
from flywheel.data.pools import group_digests

groups = st.text(min_size=1, max_size=8)


def item(place: int, group: str) -> Item:
    return Item(id=str(place), group=group, input={}, output={}, source="s", truth="Rule")


@given(st.lists(groups, max_size=20), st.sets(groups, max_size=8))
def test_exactly_the_items_of_the_cards_groups_are_left_out(of_items: list[str], trained: set[str]) -> None:
    items = [item(place, group) for place, group in enumerate(of_items)]
    card = TrainedOn.model_validate({"adapter": "x", "trainedGroups": group_digests(trained)})
    assert untouched(items, card) == [entry for entry in items if entry.group not in trained]


def test_a_card_that_does_not_say_leaves_nothing() -> None:
    assert untouched([item(1, "a")], TrainedOn.model_validate({"adapter": "x", "trainedGroups": None})) == []
    assert untouched([item(1, "a")], TrainedOn.model_validate({"adapter": "x"})) == []
