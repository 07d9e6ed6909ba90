"""Order of the batches and learning rate: pure parts of the trainer."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "trainer"))

from flywheel_trainer.order import batch_order, shuffled_labels, total_steps
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
