"""Intervals for the figures of one arm: a proportion, and balanced accuracy.

Every level is two-sided and a parameter, because an opening of the test pool is judged at 1 - alpha / openings.
Knows counts only: nothing about items, labels or arms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import NormalDist

from flywheel.statistics.resampling import binomial_draws, enough_resamples, mean_of_strata, percentile_ends


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float
    items: int
    level: float


def require_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: {level} is not between 0 and 1; give a share such as 0.95")


def two_sided_z(level: float) -> float:
    """Half-width, in standard errors, of a two-sided normal interval."""
    require_level(level)
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(correct: int, items: int, *, level: float) -> Interval:
    """Wilson's score interval for one proportion (Wilson, JASA 22 (1927) 209-212)."""
    if not 0 <= correct <= items or items == 0:
        raise ValueError(
            f"correct, items: {correct} of {items} is no proportion; give 0 <= correct <= items, items > 0"
        )
    z = two_sided_z(level)
    share = correct / items
    centre = (correct + z * z / 2) / (items + z * z)
    half = z * sqrt(items * share * (1 - share) + z * z / 4) / (items + z * z)
    # The ends at no and at all correct are exact; rounding would leave them beyond the value.
    low = 0.0 if correct == 0 else centre - half
    high = 1.0 if correct == items else centre + half
    return Interval(share, low, high, items, level)


def balanced_accuracy(
    strata: Sequence[tuple[int, int]], *, level: float, seed: int, resamples: int | None = None
) -> Interval:
    """Bootstrap interval of the mean recall: each label's items resampled apart, with `resampling`'s pseudo-counts.

    `strata` is (correct, items) of each label that has items, as `Confusion.strata` gives them.
    """
    require_level(level)
    if not strata:
        raise ValueError("strata: no label has items; score at least one item")
    value = sum(correct / items for correct, items in strata) / len(strata)
    size = resamples or enough_resamples(level)
    rng = Random(seed)  # noqa: S311  repeatable, not secret
    extra = 2 / len(strata)
    draws = [
        [hits / items for hits in binomial_draws(items, (correct + extra) / (items + 2 * extra), size, rng)]
        for correct, items in strata
    ]
    low, high = percentile_ends(mean_of_strata(draws), value, level)
    return Interval(value, low, high, sum(items for _, items in strata), level)
