"""Intervals of one arm: against scipy, exact and simulated coverage, and what must hold for any counts."""

from math import comb
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from flywheel.statistics.intervals import balanced_accuracy, wilson
from flywheel.statistics.resampling import binomial_draws, enough_resamples

levels = st.floats(0.8, 0.9999)
proportions = st.integers(1, 400).flatmap(lambda items: st.tuples(st.integers(0, items), st.just(items)))
strata_of = st.lists(proportions, min_size=1, max_size=5)


@given(proportions, levels)
@settings(deadline=None)
def test_wilson_is_scipys(counts: tuple[int, int], level: float) -> None:
    mine = wilson(*counts, level=level)
    reference = binomtest(*counts).proportion_ci(level, method="wilson")
    assert (mine.low, mine.high) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert 0 <= mine.low <= mine.value <= mine.high <= 1


@pytest.mark.parametrize("share", [0.25, 0.6, 0.9])
def test_wilson_covers_the_truth_as_often_as_it_says(share: float) -> None:
    items = 200
    covered = 0.0
    for correct in range(items + 1):
        interval = wilson(correct, items, level=0.95)
        if interval.low <= share <= interval.high:
            covered += comb(items, correct) * share**correct * (1 - share) ** (items - correct)
    assert 0.93 < covered < 0.97


@given(st.integers(0, 2000), st.floats(0, 1), st.integers())
@settings(max_examples=30, deadline=None)
def test_binomial_draws_follow_the_binomial(trials: int, share: float, seed: int) -> None:
    draws = binomial_draws(trials, share, 400, Random(seed))
    mean, deviation = binom.mean(trials, share), binom.std(trials, share)
    assert all(0 <= draw <= trials for draw in draws)
    assert abs(sum(draws) / 400 - mean) <= 6 * deviation / 20 + 0.05


@given(strata_of, levels, st.integers())
@settings(max_examples=40, deadline=None)
def test_balanced_accuracy_interval_holds_its_value_and_repeats(
    strata: list[tuple[int, int]], level: float, seed: int
) -> None:
    interval = balanced_accuracy(strata, level=level, seed=seed, resamples=200)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high
    assert interval.items == sum(items for _, items in strata)
    assert interval == balanced_accuracy(strata, level=level, seed=seed, resamples=200)


@given(strata_of, levels, levels)
@settings(max_examples=40, deadline=None)
def test_a_higher_level_never_narrows(strata: list[tuple[int, int]], one: float, other: float) -> None:
    narrow = balanced_accuracy(strata, level=min(one, other), seed=1, resamples=200)
    wide = balanced_accuracy(strata, level=max(one, other), seed=1, resamples=200)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high
    correct, items = strata[0]
    assert wilson(correct, items, level=wide.level).low <= wilson(correct, items, level=narrow.level).low


def test_all_right_is_about_as_sure_as_one_proportion_over_all_items() -> None:
    pooled = wilson(160, 160, level=0.95)
    stratified = balanced_accuracy([(40, 40)] * 4, level=0.95, seed=1)
    assert stratified.high == 1
    assert 1 - stratified.low == pytest.approx(1 - pooled.low, rel=0.5)


@pytest.mark.parametrize(("level", "resamples"), [(0.5, 2000), (0.95, 2000), (0.995, 4000), (0.999, 20000)])
def test_a_level_near_1_is_not_left_to_a_handful_of_resamples(level: float, resamples: int) -> None:
    assert enough_resamples(level) == pytest.approx(resamples, abs=1)


def test_a_large_sample_agrees_with_the_normal_interval() -> None:
    strata = [(4500, 5000), (3000, 5000)]
    interval = balanced_accuracy(strata, level=0.95, seed=1)
    half = 1.96 * (sum(hits / items * (1 - hits / items) / items for hits, items in strata) / 4) ** 0.5
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.08)


def test_balanced_accuracy_covers_the_truth_as_often_as_it_says() -> None:
    random = Random(7)
    sizes, shares = (120, 70, 60, 25), (0.9, 0.7, 0.6, 0.96)
    covered = 0
    for run in range(400):
        strata = [(sum(random.random() < share for _ in range(n)), n) for n, share in zip(sizes, shares, strict=True)]
        interval = balanced_accuracy(strata, level=0.95, seed=run)
        covered += interval.low <= sum(shares) / 4 <= interval.high
    assert 0.92 < covered / 400 < 0.99


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_share_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        wilson(1, 2, level=level)


@pytest.mark.parametrize(("correct", "items"), [(0, 0), (3, 2), (-1, 2)])
def test_counts_that_are_no_proportion_are_refused(correct: int, items: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(correct, items, level=0.95)


def test_no_strata_are_refused() -> None:
    with pytest.raises(ValueError, match="no label has items"):
        balanced_accuracy([], level=0.95, seed=1)
