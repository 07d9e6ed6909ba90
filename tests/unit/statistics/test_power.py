"""Detectable gain: the figures users are told, a simulation, and what must hold for any size."""

from random import Random
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import arange
from scipy.stats import binom, norm

from flywheel.statistics.paired import Pairs, tango
from flywheel.statistics.power import detectable_gain, even_items


@pytest.mark.parametrize(("items", "points"), [(300, 6.3), (1000, 3.4)])
def test_the_stated_figures(items: int, points: float) -> None:
    gain = detectable_gain(items, 0.15, level=0.95)
    assert gain is not None
    assert 100 * gain == pytest.approx(points, abs=0.1)


def test_a_gain_of_that_size_is_shown_four_times_in_five() -> None:
    random, shown = Random(5), 0
    gain = detectable_gain(300, 0.15, level=0.95)
    assert gain is not None
    weights = ((0.15 + gain) / 2, (0.15 - gain) / 2, 0.85)
    for _ in range(1000):
        drawn = random.choices(("win", "loss", "tie"), weights=weights, k=300)
        shown += tango(Pairs(drawn.count("win"), drawn.count("loss"), 300), level=0.95).low > 0
    assert 0.75 < shown / 1000 < 0.86


@pytest.mark.parametrize(("items", "discordant", "level"), [(300, 0.15, 0.95), (1000, 0.15, 0.99), (2000, 0.05, 0.95)])
def test_the_power_is_that_of_all_outcomes_weighed(items: int, discordant: float, level: float) -> None:
    """By scipy: how often McNemar's statistic is beyond its bound, over every number of wins and losses."""
    gain, z = detectable_gain(items, discordant, level=level), norm.ppf((1 + level) / 2)
    assert gain is not None
    power = 0.0
    for differing in range(1, items + 1):
        wins = arange(differing + 1)
        rejected = (2 * wins - differing) / differing**0.5 > z
        likely = binom.pmf(wins, differing, (discordant + gain) / 2 / discordant)
        power += binom.pmf(differing, items, discordant) * likely[rejected].sum()
    assert power == pytest.approx(0.8, abs=0.02)


@given(
    st.integers(1, 100) | st.integers(1, 100_000),
    st.just(1.0) | st.floats(0.01, 1),
    st.floats(0.5, 0.999),
    st.floats(0.5, 0.99),
)
@settings(max_examples=300, deadline=None)
def test_more_items_show_less_and_more_certainty_needs_more(
    items: int, discordant: float, level: float, power: float
) -> None:
    def gain(items: int, level: float, power: float) -> float:
        found = detectable_gain(items, discordant, level=level, power=power)
        return 2.0 if found is None else found

    here = gain(items, level, power)
    assert here == 2.0 or here <= discordant
    if here != 2.0:
        z_level, z_power = NormalDist().inv_cdf((1 + level) / 2), NormalDist().inv_cdf(power)
        needed = (z_level * discordant**0.5 + z_power * max(0.0, discordant - here**2) ** 0.5) ** 2 / here**2
        assert needed == pytest.approx(items, rel=1e-6)
    assert gain(items + 1, level, power) <= here
    assert gain(items, level + (1 - level) / 2, power) >= here - 1e-12
    assert gain(items, level, power + (1 - power) / 2) >= here - 1e-12


def test_too_few_items_show_nothing() -> None:
    assert detectable_gain(10, 0.05, level=0.95) is None
    assert detectable_gain(3, 1.0, level=0.95, power=0.9) is None  # three wins of three are not significant


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=16))
def test_uneven_labels_are_worth_fewer_items(strata: list[int]) -> None:
    even = even_items(strata)
    assert len(strata) * min(strata) <= even <= sum(strata)
    assert (even == sum(strata)) == (len(set(strata)) == 1) or sum(strata) - even <= 1


def test_the_worth_of_uneven_labels_is_that_of_their_variance() -> None:
    """Balanced accuracy of 200 + 50 + 50 items wanders as that of 200 even ones does."""
    random, sizes = Random(3), (200, 50, 50)
    even = even_items(sizes)

    def wander(strata: tuple[int, ...]) -> float:
        means = [
            sum(sum(random.random() < 0.15 for _ in range(items)) / items for items in strata) / len(strata)
            for _ in range(1500)
        ]
        centre = sum(means) / len(means)
        return sum((mean - centre) ** 2 for mean in means) / len(means)

    assert even == 200
    assert wander(sizes) == pytest.approx(wander((even // 3 + 1,) * 3), rel=0.15)


@pytest.mark.parametrize("strata", [[], [3, 0]])
def test_labels_without_items_are_refused(strata: list[int]) -> None:
    with pytest.raises(ValueError, match="leave such labels out"):
        even_items(strata)


@pytest.mark.parametrize(
    ("items", "discordant", "level", "power"),
    [(0, 0.1, 0.95, 0.8), (10, 0.0, 0.95, 0.8), (10, 1.1, 0.95, 0.8), (10, 0.1, 1.0, 0.8), (10, 0.1, 0.95, 1.0)],
)
def test_what_has_no_answer_is_refused(items: int, discordant: float, level: float, power: float) -> None:
    with pytest.raises(ValueError, match="give"):
        detectable_gain(items, discordant, level=level, power=power)
