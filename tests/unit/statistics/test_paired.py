"""Paired differences: against published and library figures, coverage, and what must hold for any two arms."""

from math import log, sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar

from flywheel.statistics.paired import (
    Pairs,
    accuracy_difference,
    balanced_accuracy_difference,
    mcnemar,
    pairs_by_label,
    recall_differences,
    tango,
)

LABELS = ("critical", "major", "minor", "trivial")
answer = st.sampled_from((*LABELS, None))
# One row per item: truth, candidate's answer, reference's answer.
rows_of = st.lists(st.tuples(st.sampled_from(LABELS), answer, answer), min_size=1, max_size=80)
levels = st.floats(0.8, 0.9999)
Rows = list[tuple[str, str | None, str | None]]
Arms = tuple[dict[str, str], dict[str, str | None], dict[str, str | None]]


def arms(rows: Rows) -> Arms:
    named = {f"item-{number}": row for number, row in enumerate(rows)}
    return (
        {name: row[0] for name, row in named.items()},
        {name: row[1] for name, row in named.items()},
        {name: row[2] for name, row in named.items()},
    )


def rows_with(label: str, wins: int, losses: int, items: int) -> Rows:
    tied = items - wins - losses
    return [(label, label, None)] * wins + [(label, None, label)] * losses + [(label, label, label)] * tied


# Published by Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8.
@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [(Pairs(wins=1, losses=7, items=21), -0.517, -0.026), (Pairs(wins=6, losses=16, items=161), -0.1240, -0.0054)],
)
def test_tango_gives_the_published_intervals(pairs: Pairs, low: float, high: float) -> None:
    interval = tango(pairs, level=0.95)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=6e-4)


def test_tango_without_differing_pairs_keeps_its_closed_form() -> None:
    interval = tango(Pairs(0, 0, 50), level=0.95)
    assert interval.high == -interval.low == pytest.approx(1.959964**2 / (50 + 1.959964**2))


def score(pairs: Pairs, difference: float) -> float:
    """Of the observed difference, were `difference` true: by its definition, the likelihood maximised by scipy."""
    wins, losses, items = pairs
    ties = items - wins - losses

    def unlikely(loss: float) -> float:
        shares = ((wins, loss + difference), (losses, loss), (ties, 1 - 2 * loss - difference))
        return -sum(count * log(max(share, 1e-300)) for count, share in shares if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    loss = float(minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)
    return (pairs.difference - difference) / sqrt((2 * loss + difference - difference**2) / items)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("counts", [(30, 15, 300), (3, 0, 40), (1, 7, 21), (60, 60, 400), (2, 1, 12)])
def test_tangos_ends_are_where_the_score_test_begins_to_reject(counts: tuple[int, int, int], level: float) -> None:
    interval, z = tango(Pairs(*counts), level=level), float(norm.ppf((1 + level) / 2))
    assert score(Pairs(*counts), interval.low) == pytest.approx(z, abs=2e-3)
    assert score(Pairs(*counts), interval.high) == pytest.approx(-z, abs=2e-3)


@given(rows_of)
@settings(deadline=None)
def test_mcnemar_is_statsmodels(rows: Rows) -> None:
    truth, candidate, reference = arms(rows)
    pairs = pairs_by_label(truth, candidate, reference).values()
    wins, losses = sum(each.wins for each in pairs), sum(each.losses for each in pairs)
    expected = reference_mcnemar([[0, wins], [losses, 0]], exact=True).pvalue if wins + losses else 1.0
    assert mcnemar(truth, candidate, reference) == pytest.approx(min(1.0, expected))
    assert mcnemar(truth, candidate, reference) == mcnemar(truth, reference, candidate)


def test_mcnemar_with_thousands_of_differing_pairs() -> None:
    truth, candidate, reference = arms(rows_with("major", 1600, 1400, 9000))
    expected = reference_mcnemar([[0, 1600], [1400, 0]], exact=True).pvalue
    assert mcnemar(truth, candidate, reference) == pytest.approx(expected)


@given(rows_of, levels, st.integers())
@settings(max_examples=40, deadline=None)
def test_swapping_the_arms_mirrors_the_interval(rows: Rows, level: float, seed: int) -> None:
    truth, one, other = arms(rows)
    for forth, back in (
        (accuracy_difference(truth, one, other, level=level), accuracy_difference(truth, other, one, level=level)),
        (
            balanced_accuracy_difference(truth, one, other, level=level, seed=seed, resamples=200),
            balanced_accuracy_difference(truth, other, one, level=level, seed=seed, resamples=200),
        ),
    ):
        assert (-forth.difference, -forth.high, -forth.low) == pytest.approx((back.difference, back.low, back.high))
        assert -1 <= forth.low <= forth.difference <= forth.high <= 1
        assert forth.low < forth.high


@given(rows_of, levels, levels)
@settings(max_examples=40, deadline=None)
def test_a_higher_level_never_narrows(rows: Rows, one: float, other: float) -> None:
    low, high = sorted((one, other))
    narrow, wide = accuracy_difference(*arms(rows), level=low), accuracy_difference(*arms(rows), level=high)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high
    narrow = balanced_accuracy_difference(*arms(rows), level=low, seed=3, resamples=200)
    wide = balanced_accuracy_difference(*arms(rows), level=high, seed=3, resamples=200)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@given(rows_of, st.randoms(use_true_random=False), st.integers())
@settings(max_examples=40, deadline=None)
def test_order_of_items_does_not_matter_and_a_seed_repeats(rows: Rows, random: Random, seed: int) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)
    one = balanced_accuracy_difference(*arms(rows), level=0.95, seed=seed, resamples=200)
    assert one == balanced_accuracy_difference(*arms(shuffled), level=0.95, seed=seed, resamples=200)
    assert accuracy_difference(*arms(rows), level=0.95) == accuracy_difference(*arms(shuffled), level=0.95)


@given(rows_of)
@settings(deadline=None)
def test_differences_are_those_of_the_figures(rows: Rows) -> None:
    per_label = recall_differences(*arms(rows), level=0.95)
    balanced = balanced_accuracy_difference(*arms(rows), level=0.95, seed=1, resamples=2)
    right = [(row[1] == row[0]) - (row[2] == row[0]) for row in rows]
    assert accuracy_difference(*arms(rows), level=0.95).difference == pytest.approx(sum(right) / len(rows))
    assert balanced.difference == pytest.approx(sum(each.difference for each in per_label.values()) / len(per_label))
    assert balanced.items == sum(each.items for each in per_label.values()) == len(rows)
    assert set(per_label) == {row[0] for row in rows}


def test_other_seeds_give_other_resamples() -> None:
    rows = rows_with("major", 60, 20, 1000) + rows_with("minor", 20, 60, 1100)
    ends = {balanced_accuracy_difference(*arms(rows), level=0.95, seed=seed).low for seed in range(8)}
    assert len(ends) > 1


def test_arms_that_never_differ_are_about_as_alike_as_over_all_items() -> None:
    rows = [row for label in LABELS for row in rows_with(label, 0, 0, 40)]
    interval = balanced_accuracy_difference(*arms(rows), level=0.95, seed=1)
    assert interval.difference == 0
    assert interval.high == -interval.low == pytest.approx(tango(Pairs(0, 0, 160), level=0.95).high, rel=0.5)


def test_a_large_sample_agrees_with_the_normal_interval() -> None:
    rows = rows_with("major", 400, 200, 4000) + rows_with("minor", 150, 250, 2000)
    interval = balanced_accuracy_difference(*arms(rows), level=0.95, seed=1)
    variance = sum(
        ((p.wins + p.losses) / p.items - p.difference**2) / p.items for p in pairs_by_label(*arms(rows)).values()
    )
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * variance**0.5 / 2, rel=0.08)


def covers(wins: float, losses: float, sizes: dict[str, int], runs: int) -> tuple[float, float]:
    """Share of simulated comparisons whose interval holds the true difference: (plain, balanced)."""
    random = Random(11)
    plain = balanced = 0
    for run in range(runs):
        rows: Rows = []
        for label, items in sizes.items():
            drawn = random.choices(("win", "loss", "tie"), weights=(wins, losses, 1 - wins - losses), k=items)
            rows += rows_with(label, drawn.count("win"), drawn.count("loss"), items)
        interval = accuracy_difference(*arms(rows), level=0.95)
        plain += interval.low <= wins - losses <= interval.high
        interval = balanced_accuracy_difference(*arms(rows), level=0.95, seed=run, resamples=800)
        balanced += interval.low <= wins - losses <= interval.high
    return plain / runs, balanced / runs


@pytest.mark.parametrize(("wins", "losses"), [(0.1, 0.05), (0.02, 0.02)])
def test_intervals_cover_the_truth_as_often_as_they_say(wins: float, losses: float) -> None:
    plain, balanced = covers(wins, losses, {"critical": 40, "major": 90, "minor": 100, "trivial": 70}, runs=200)
    assert 0.91 < plain < 0.995
    assert 0.92 < balanced < 0.995


@pytest.mark.parametrize(
    ("candidate", "reference", "message"),
    [
        ({"a": "minor"}, {"a": "minor", "b": None}, "candidate: no answer to item 'b'"),
        ({"a": "minor", "b": None}, {"b": None}, "reference: no answer to item 'a'"),
        ({"a": "minor", "b": None}, {"a": None, "b": None, "c": None}, "truth: no item 'c', which reference answered"),
    ],
)
def test_arms_over_other_items_are_refused(
    candidate: dict[str, str | None], reference: dict[str, str | None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy_difference({"a": "minor", "b": "major"}, candidate, reference, level=0.95)


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        mcnemar({}, {}, {})
