"""How far a judge agrees with people who judged the same pairs: share of pairs, and Cohen's kappa.

Knows outcomes only: nothing about judges, people or pairs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from flywheel.statistics.intervals import Interval, two_sided_z, wilson


@dataclass(frozen=True)
class Agreement:
    """Share of pairs with the same outcome; kappa is None where both always say one and the same."""

    share: Interval
    kappa: Interval | None


def agreement(judge: Sequence[int], people: Sequence[int], *, level: float) -> Agreement:
    """Wilson's interval for the share, and the one of Fleiss, Cohen and Everitt (Psychological Bulletin 72 (1969)
    323-327) for kappa."""
    if not judge or len(judge) != len(people):
        raise ValueError(f"judge, people: {len(judge)} and {len(people)} outcomes; give one of each a pair")
    same = sum(one == other for one, other in zip(judge, people, strict=True))
    return Agreement(wilson(same, len(judge), level=level), _kappa(judge, people, level))


def _kappa(judge: Sequence[int], people: Sequence[int], level: float) -> Interval | None:
    items = len(judge)
    shares = {pair: count / items for pair, count in Counter(zip(judge, people, strict=True)).items()}
    rows = {outcome: count / items for outcome, count in Counter(judge).items()}
    columns = {outcome: count / items for outcome, count in Counter(people).items()}
    observed = sum(share for (one, other), share in shares.items() if one == other)
    expected = sum(share * columns.get(outcome, 0.0) for outcome, share in rows.items())
    if expected == 1:
        return None
    kappa, rest = (observed - expected) / (1 - expected), 1 - expected
    variance = -((kappa - expected * (1 - kappa)) ** 2)
    for (one, other), share in shares.items():
        margins = columns.get(one, 0.0) + rows.get(other, 0.0)
        if one == other:
            variance += share * (1 - margins * (1 - kappa)) ** 2
        else:
            variance += share * margins**2 * (1 - kappa) ** 2
    half = two_sided_z(level) * sqrt(max(0.0, variance) / items) / rest
    return Interval(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), items, level)
