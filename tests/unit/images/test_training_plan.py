"""Order of the batches and learning rate: pure parts of the trainer."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "trainer"))

from flywheel_trainer.order import batch_order, easy_to_hard, shuffled_labels, total_steps
from flywheel_trainer.schedule import share_of_peak

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=120)
SIZES = st.integers(1, 16)
STEPS = st.integers(1, 60)
SEEDS = st.integers(0, 2**31)


@given(LENGTHS, SIZES, STEPS, SEEDS)
def test_every_example_is_seen_before_any_is_seen_again(lengths: list[int], size: int, steps: int, seed: int) -> None:
    order = batch_order(lengths, size, steps, seed)
    assert [len(batch) for batch in order] == [size] * steps
    seen = Counter(place for batch in order for place in batch)
    counts = [seen[place] for place in range(len(lengths))]
    assert max(counts) - min(counts) <= 1


@given(LENGTHS, SIZES, STEPS, SEEDS)
def test_the_order_is_the_seeds(lengths: list[int], size: int, steps: int, seed: int) -> None:
    assert batch_order(lengths, size, steps, seed) == batch_order(lengths, size, steps, seed)


@st.composite
def staged(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """Lengths, and the stages by difficulties with ties."""
    lengths = draw(LENGTHS)
    hard = draw(st.lists(st.integers(0, 9), min_size=len(lengths), max_size=len(lengths)))
    return lengths, easy_to_hard(hard)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=200))
def test_stages_are_equal_thirds_from_easy_to_hard(difficulties: list[float]) -> None:
    stages = easy_to_hard(difficulties)
    assert sorted(place for stage in stages for place in stage) == list(range(len(difficulties)))
    assert len(stages) == min(3, len(difficulties))
    assert max(map(len, stages)) - min(map(len, stages)) <= 1
    bounds = [(min(hard), max(hard)) for stage in stages for hard in [[difficulties[place] for place in stage]]]
    assert all(easier[1] <= harder[0] for easier, harder in pairwise(bounds))


@given(staged(), SIZES, st.integers(1, 4), SEEDS)
def test_each_epoch_has_every_example_once_and_its_stages_in_order(
    of: tuple[list[int], list[list[int]]], size: int, epochs: int, seed: int
) -> None:
    """Example by example, but for the order within a batch: an epoch may begin and end within one."""
    lengths, stages = of
    stage_of = {place: number for number, stage in enumerate(stages) for place in stage}
    steps = len(lengths) * epochs // size
    batches = batch_order(lengths, size, max(1, steps), seed, stages)
    assert [len(batch) for batch in batches] == [size] * max(1, steps)
    due = [
        (epoch, number)
        for epoch in range(max(epochs, -(-size // len(lengths))))
        for number, stage in enumerate(stages)
        for _ in stage
    ]
    seen: Counter[int] = Counter()
    for start, batch in zip(range(0, len(due), size), batches, strict=False):
        assert Counter(stage_of[place] for place in batch) == Counter(number for _, number in due[start : start + size])
        seen.update(batch)
        counts = [seen[place] for place in range(len(lengths))]
        assert max(counts) - min(counts) <= 1, "none again before all were seen"


@given(staged(), SIZES, STEPS, SEEDS)
def test_a_staged_order_is_the_seeds(of: tuple[list[int], list[list[int]]], size: int, steps: int, seed: int) -> None:
    """Whoever goes on at step k has the batches that were still to come: it reads the same list from there."""
    lengths, stages = of
    again = [list(reversed(stage)) for stage in stages]  # the same sets
    assert batch_order(lengths, size, steps, seed, stages) == batch_order(lengths, size, steps, seed, again)


def test_a_stage_is_shuffled_anew_in_each_epoch_and_by_each_seed() -> None:
    lengths, stages = [1] * 96, easy_to_hard([float(place) for place in range(96)])
    order = batch_order(lengths, 8, 24, 1, stages)
    assert [{place // 32 for place in batch} for batch in order[:12]] == [{0}] * 4 + [{1}] * 4 + [{2}] * 4
    other = batch_order(lengths, 8, 24, 2, stages)
    mixes = [{frozenset(batch) for batch in batches} for batches in (order[:4], order[12:16], other[:4])]
    assert not mixes[0] & mixes[1] and not mixes[0] & mixes[2], "other company, not only another turn"


def test_another_seed_gives_another_order_and_epochs_differ() -> None:
    lengths = list(range(1, 65))
    first, other = batch_order(lengths, 8, 16, 1), batch_order(lengths, 8, 16, 2)
    assert first != other
    assert first[:8] != first[8:]


def test_neighbours_in_length_share_a_batch() -> None:
    lengths = [1, 100] * 64
    order = batch_order(lengths, 8, 16, 0)
    mixed = [batch for batch in order if len({lengths[place] for place in batch}) > 1]
    assert len(mixed) <= 2, "one at most in each of the two windows"


def test_steps_of_a_training() -> None:
    assert total_steps(100, 16, epochs=2, max_steps=None) == 13
    assert total_steps(100, 16, epochs=None, max_steps=200) == 200
    assert total_steps(100, 16, epochs=2, max_steps=5) == 5
    assert total_steps(100, 16, epochs=None, max_steps=None) == 19


@given(st.integers(1, 1000))
def test_the_rate_warms_up_to_its_peak_and_then_falls(steps: int) -> None:
    shares = [share_of_peak(step, steps) for step in range(steps)]
    assert all(0 < share <= 1 for share in shares) and max(shares) == 1
    peak = shares.index(1)
    assert shares[: peak + 1] == sorted(shares[: peak + 1]) and shares[peak:] == sorted(shares[peak:], reverse=True)


@given(st.integers(2, 200), SEEDS)
def test_shuffled_labels_are_dealt_not_invented(count: int, seed: int) -> None:
    assert sorted(shuffled_labels(count, seed)) == list(range(count))
