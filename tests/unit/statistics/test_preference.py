"""Preference: what swapping, ties, flips and silence must give for any verdicts, and coverage of the interval."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.statistics.preference import Judged, Verdict, first_place_share, preference

verdicts: st.SearchStrategy[Verdict | None] = st.sampled_from(("first", "second", "tie", None))
judgements = st.lists(st.builds(Judged, verdicts, verdicts), min_size=1, max_size=60)
WIN, LOSS, TIE = Judged("first", "second"), Judged("second", "first"), Judged("tie", "tie")


@given(judgements, st.integers(0, 9))
def test_swapping_the_arms_negates(judged: list[Judged], seed: int) -> None:
    one = preference(judged, level=0.95, seed=seed, resamples=200)
    other = preference([item.swapped for item in judged], level=0.95, seed=seed, resamples=200)
    assert (one.wins, one.losses, one.flips) == (other.losses, other.wins, other.flips)
    assert one.difference.difference == -other.difference.difference
    assert (one.difference.low, one.difference.high) == (-other.difference.high, -other.difference.low)


@given(judgements)
def test_the_parts_add_up(judged: list[Judged]) -> None:
    found = preference(judged, level=0.95, seed=1, resamples=100)
    assert found.wins + found.losses + found.flips + found.unjudged <= len(judged)
    assert found.difference.difference == pytest.approx((found.wins - found.losses) / len(judged))
    assert found.difference.low <= found.difference.difference <= found.difference.high
    assert found.difference.items == len(judged)


@given(st.lists(st.builds(Judged, verdicts, verdicts), min_size=1), verdicts)
def test_a_missing_verdict_decides_nothing(judged: list[Judged], said: Verdict | None) -> None:
    assert Judged(said, None).outcome == Judged(None, said).outcome == 0
    more = preference([*judged, Judged(said, None)], level=0.95, seed=1, resamples=100)
    assert abs(more.difference.difference) <= abs(preference(judged, level=0.95, seed=1).difference.difference)
    assert more.unjudged >= 1


def test_all_ties_are_no_difference_and_no_certainty() -> None:
    found = preference([TIE] * 100, level=0.95, seed=1)
    assert found.difference.difference == 0
    assert -0.1 < found.difference.low < 0 < found.difference.high < 0.1


@pytest.mark.parametrize("place", ["first", "second"])
def test_a_judge_of_places_prefers_nobody(place: Verdict) -> None:
    judged = [Judged(place, place)] * 50
    found = preference(judged, level=0.95, seed=1)
    assert (found.difference.difference, found.flips) == (0, 50)
    assert first_place_share(judged) == (1.0 if place == "first" else 0.0)


def test_a_tie_in_one_order_is_a_tie() -> None:
    assert Judged("first", "tie").outcome == Judged("tie", "first").outcome == 0
    assert not Judged("first", "tie").flipped


def test_no_verdict_for_either_has_no_first_place_share() -> None:
    assert first_place_share([TIE, Judged(None, None)]) is None
    with pytest.raises(ValueError, match="judge at least one"):
        preference([], level=0.95, seed=1)


@pytest.mark.parametrize(("wins", "losses"), [(0.4, 0.2), (0.1, 0.05), (0.9, 0.02)])
def test_the_interval_covers_the_truth(wins: float, losses: float) -> None:
    rng, covered, runs = Random(3), 0, 200
    for seed in range(runs):
        judged = rng.choices([WIN, LOSS, TIE], [wins, losses, 1 - wins - losses], k=120)
        found = preference(judged, level=0.95, seed=seed, resamples=400).difference
        covered += found.low <= wins - losses <= found.high
    assert 0.92 <= covered / runs <= 0.985
