"""Two sets of different items, answered by the same student: how much more is right of one than of the other.

Knows counts only: nothing about items, labels or who wrote them.
"""

from collections.abc import Sequence
from math import sqrt

from flywheel.statistics.intervals import Interval, two_sided_z

Stratum = tuple[int, int]  # correct, items
PSEUDO = 2  # right answers, and as many wrong ones, spread over all proportions


def balanced_difference(ones: Sequence[Stratum], others: Sequence[Stratum], *, level: float) -> Interval:
    """Mean recall over `ones` minus that over `others`, the same labels in the same order.

    Adjusted Wald interval for a linear function of proportions (Price and Bonett, Computational Statistics & Data
    Analysis 45 (2004) 449-456); with one label it is that of Agresti and Caffo (American Statistician 54 (2000)
    280-288). Widened where needed to hold the value.
    """
    if not ones or len(ones) != len(others):
        raise ValueError(f"strata: {len(ones)} against {len(others)} labels; give the same labels, at least one")
    extra, weight = PSEUDO / (2 * len(ones)), 1 / len(ones)
    value = centre = variance = 0.0
    for sign, strata in ((weight, ones), (-weight, others)):
        for correct, items in strata:
            share = (correct + extra) / (items + 2 * extra)
            value += sign * correct / items
            centre += sign * share
            variance += weight * weight * share * (1 - share) / (items + 2 * extra)
    half = two_sided_z(level) * sqrt(variance)
    items = sum(items for _, items in (*ones, *others))
    return Interval(value, max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half)), items, level)
