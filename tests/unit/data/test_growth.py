"""The training set: all teacher examples, replay within its share, labels even, the same every time."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.item import Example, Item
from flywheel.data.growth import balanced, control_set, training_set

LABELS = ["critical", "major", "minor"]


def example(number: int) -> Example:
    return Example(id=f"e{number}", input={"code": str(number)}, output={"label": "major"}, origin="teacher")


def item(number: int, label: str) -> Item:
    return Item(
        id=f"i{number}", input={"code": str(number)}, output={"label": label}, group="g", source="s", truth="Rule"
    )


pools = st.lists(st.sampled_from(LABELS), max_size=40).map(
    lambda labels: [item(number, label) for number, label in enumerate(labels)]
)


@given(st.integers(1, 40), pools, st.integers(0, 100), st.integers(0, 9))
def test_every_example_once_and_replay_within_its_share(count: int, pool: list[Item], percent: int, seed: int) -> None:
    replay = Decimal(percent) / 100
    examples = [example(number) for number in range(count)]
    whole = training_set(examples, pool, "label", replay, seed, iteration=1)
    origins = Counter(entry.origin for entry in whole)
    assert origins["teacher"] == count
    assert origins["replay"] <= len(whole) * replay
    assert len({entry.id for entry in whole}) == len(whole)
    one_more = origins["replay"] + 1
    assert origins["replay"] == len(pool) or one_more > (count + one_more) * replay


@given(pools, st.integers(0, 40), st.integers(0, 9))
def test_replayed_labels_are_as_even_as_the_pool_allows(pool: list[Item], count: int, seed: int) -> None:
    chosen = Counter(entry.output["label"] for entry in balanced(pool, "label", count, seed))
    held = Counter(entry.output["label"] for entry in pool)
    for label in held:
        for other in held:
            assert chosen[label] == held[label] or chosen[label] >= chosen[other] - 1


@given(pools, st.integers(0, 20), st.integers(0, 20), st.integers(0, 9))
def test_a_larger_replay_holds_the_smaller(pool: list[Item], count: int, more: int, seed: int) -> None:
    small = {entry.id for entry in balanced(pool, "label", count, seed)}
    assert small <= {entry.id for entry in balanced(pool, "label", count + more, seed)}


def test_order_depends_on_seed_and_iteration_only() -> None:
    examples, pool = [example(number) for number in range(30)], [item(number, "minor") for number in range(9)]
    whole = training_set(examples, pool, "label", Decimal("0.2"), 1, 1)
    again = training_set(list(reversed(examples)), list(reversed(pool)), "label", Decimal("0.2"), 1, 1)
    assert whole == again
    assert [entry.id for entry in whole] != [
        entry.id for entry in training_set(examples, pool, "label", Decimal("0.2"), 2, 1)
    ]


def test_what_the_teacher_wrote_is_not_replayed() -> None:
    twin = item(0, "major").model_copy(update={"id": "e0"})
    assert [entry.origin for entry in training_set([example(0)], [twin], "label", Decimal("0.5"), 1, 1)] == ["teacher"]


@given(pools, st.integers(0, 200), st.integers(0, 9))
def test_the_control_is_as_large_and_holds_only_seed_items(pool: list[Item], count: int, seed: int) -> None:
    found = control_set(pool, count, seed, 1)
    assert len(found) == (count if pool else 0)
    times = Counter(example.id for example in found)
    assert times.keys() <= {entry.id for entry in pool}
    if count >= len(pool) > 0:
        assert len(times) == len(pool) and max(times.values()) - min(times.values()) <= 1
    assert found == control_set(list(reversed(pool)), count, seed, 1)
    more = control_set(pool, count + 5, seed, 1)
    assert Counter(example.id for example in found) <= Counter(example.id for example in more)
