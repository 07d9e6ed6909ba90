"""Two independent sets: against statsmodels, simulated coverage, and what must hold for any counts."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from flywheel.statistics.independent import balanced_difference

levels = st.floats(0.8, 0.9999)
strata = st.integers(1, 400).flatmap(lambda items: st.tuples(st.integers(0, items), st.just(items)))
sides = st.integers(1, 6).flatmap(
    lambda size: st.tuples(
        st.lists(strata, min_size=size, max_size=size), st.lists(strata, min_size=size, max_size=size)
    )
)


@given(strata, strata, levels)
def test_of_one_label_it_is_that_of_agresti_and_caffo(
    one: tuple[int, int], other: tuple[int, int], level: float
) -> None:
    mine = balanced_difference([one], [other], level=level)
    low, high = confint_proportions_2indep(*one, *other, method="agresti-caffo", compare="diff", alpha=1 - level)
    assert mine.value == pytest.approx(one[0] / one[1] - other[0] / other[1])
    held = (max(-1, min(low, mine.value)), min(1, max(high, mine.value)))
    assert (mine.low, mine.high) == pytest.approx(held, abs=1e-9)


@given(sides, levels)
def test_turned_round_it_is_mirrored_and_it_holds_its_value(
    both: tuple[list[tuple[int, int]], list[tuple[int, int]]], level: float
) -> None:
    ones, others = both
    mine, turned = (balanced_difference(*sides, level=level) for sides in ((ones, others), (others, ones)))
    assert (mine.low, mine.value, mine.high) == pytest.approx((-turned.high, -turned.value, -turned.low), abs=1e-12)
    assert -1 <= mine.low <= mine.value <= mine.high <= 1
    assert mine.low < mine.high


@pytest.mark.parametrize(("sizes", "shares"), [((14, 6), (0.9, 0.6)), ((35, 15), (0.5, 0.5)), ((14, 6), (0.97, 0.9))])
def test_it_covers_the_truth_as_often_as_it_says(sizes: tuple[int, int], shares: tuple[float, float]) -> None:
    """Four labels, as an exam of 80 or 200 questions has them; of 6 anchors a label it is a little too narrow."""
    draw, covered, rounds = Random(5), 0, 3000
    for _ in range(rounds):
        drawn = [
            [(sum(draw.random() < share for _ in range(size)), size) for _ in range(4)]
            for size, share in zip(sizes, shares, strict=True)
        ]
        interval = balanced_difference(*drawn, level=0.95)
        covered += interval.low <= shares[0] - shares[1] <= interval.high
    assert 0.925 < covered / rounds < 0.98


@pytest.mark.parametrize(("ones", "others"), [([], []), ([(1, 2)], [])])
def test_without_the_same_labels_there_is_no_difference(
    ones: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    with pytest.raises(ValueError, match="give the same labels"):
        balanced_difference(ones, others, level=0.95)
