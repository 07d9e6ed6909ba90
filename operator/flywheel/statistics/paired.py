"""Two arms over the same items: how much better the candidate is than the reference, with an interval.

Only items on which the arms differ carry information, so everything is computed from wins (candidate right, reference
wrong) and losses (the reverse). An answer of None is wrong. Knows answers by item id only: nothing about arms' names,
files, or what a difference decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from typing import NamedTuple

from flywheel.statistics.intervals import require_level, two_sided_z
from flywheel.statistics.resampling import binomial_draws, enough_resamples, mean_of_strata, percentile_ends

Truth = Mapping[str, str]
Answers = Mapping[str, str | None]


@dataclass(frozen=True)
class PairedDifference:
    """Candidate minus reference, in shares of 1."""

    difference: float
    low: float
    high: float
    items: int
    level: float


class Pairs(NamedTuple):
    """How often two arms differ over some items."""

    wins: int
    losses: int
    items: int

    @property
    def difference(self) -> float:
        return (self.wins - self.losses) / self.items

    @property
    def swapped(self) -> "Pairs":
        return Pairs(self.losses, self.wins, self.items)


def pairs_by_label(truth: Truth, candidate: Answers, reference: Answers) -> dict[str, Pairs]:
    """Wins and losses per true label, labels in alphabetical order; refuses arms that were not asked the same items."""
    if not truth:
        raise ValueError("truth: no items; score at least one item")
    _require_same_items(truth, candidate, "candidate")
    _require_same_items(truth, reference, "reference")
    counts = {label: [0, 0, 0] for label in sorted(set(truth.values()))}
    for item, label in truth.items():
        right, other_right = candidate[item] == label, reference[item] == label
        count = counts[label]
        count[0] += right and not other_right
        count[1] += other_right and not right
        count[2] += 1
    return {label: Pairs(*count) for label, count in counts.items()}


def pairs_overall(truth: Truth, candidate: Answers, reference: Answers) -> Pairs:
    strata = pairs_by_label(truth, candidate, reference).values()
    return Pairs(*(sum(column) for column in zip(*strata, strict=True)))


def accuracy_difference(truth: Truth, candidate: Answers, reference: Answers, *, level: float) -> PairedDifference:
    """Difference of accuracy, with Tango's interval."""
    return tango(pairs_overall(truth, candidate, reference), level=level)


def recall_differences(
    truth: Truth, candidate: Answers, reference: Answers, *, level: float
) -> dict[str, PairedDifference]:
    """Difference of recall for each label that has items, with Tango's interval."""
    strata = pairs_by_label(truth, candidate, reference)
    return {label: tango(pairs, level=level) for label, pairs in strata.items()}


def balanced_accuracy_difference(
    truth: Truth, candidate: Answers, reference: Answers, *, level: float, seed: int, resamples: int | None = None
) -> PairedDifference:
    """Difference of balanced accuracy: the mean over labels, with `mean_difference`'s interval."""
    strata = list(pairs_by_label(truth, candidate, reference).values())
    return mean_difference(strata, level=level, seed=seed, resamples=resamples)


def mean_difference(
    strata: Sequence[Pairs], *, level: float, seed: int, resamples: int | None = None
) -> PairedDifference:
    """Mean over strata of the difference, each stratum's items resampled apart, with `resampling`'s pseudo-counts.

    Half of the resamples are drawn with the arms swapped and turned round, so that swapping the arms mirrors the
    interval exactly.
    """
    require_level(level)
    value = sum(pairs.difference for pairs in strata) / len(strata)
    half = ((resamples or enough_resamples(level)) + 1) // 2
    resampled = _mean_differences(strata, half, seed)
    mirrored = _mean_differences([pairs.swapped for pairs in strata], half, seed)
    low, high = percentile_ends([*resampled, *(-mean for mean in mirrored)], value, level)
    return PairedDifference(value, low, high, sum(pairs.items for pairs in strata), level)


def mcnemar(truth: Truth, candidate: Answers, reference: Answers) -> float:
    """Two-sided p-value of McNemar's exact test: wins against a fair coin over the items on which the arms differ."""
    pairs = pairs_overall(truth, candidate, reference)
    differing = pairs.wins + pairs.losses
    ways = tail = 1
    for k in range(min(pairs.wins, pairs.losses)):
        ways = ways * (differing - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**differing)


def tango(pairs: Pairs, *, level: float) -> PairedDifference:
    """Tango's score interval for a paired difference of proportions (Statistics in Medicine 17 (1998) 891-908).

    It holds its level with few differing pairs, keeps a width when there are none, and stays within -1 and 1.
    """
    z = two_sided_z(level)
    low, high = -_tango_high(pairs.swapped, z), _tango_high(pairs, z)
    return PairedDifference(pairs.difference, low, high, pairs.items, level)


def _tango_high(pairs: Pairs, z: float) -> float:
    """Largest difference whose score test does not reject, by bisection: the score falls as the difference grows."""
    inside, outside = pairs.difference, 1.0
    while inside < (middle := (inside + outside) / 2) < outside:
        if middle - pairs.difference <= z * _standard_error(pairs, middle):
            inside = middle
        else:
            outside = middle
    return outside


def _standard_error(pairs: Pairs, difference: float) -> float:
    """Of the observed difference, were `difference` true: the share of losses is its likeliest value under that."""
    wins, losses, items = pairs
    a = 2 * items
    b = (2 * items - wins + losses) * difference - wins - losses
    c = -losses * difference * (1 - difference)
    loss_share = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    return sqrt(max(0.0, 2 * loss_share + difference * (1 - difference)) / items)


def _mean_differences(strata: Sequence[Pairs], size: int, seed: int) -> list[float]:
    rng = Random(seed)  # noqa: S311  repeatable, not secret
    return mean_of_strata([_stratum_differences(pairs, 1 / len(strata), size, rng) for pairs in strata])


def _stratum_differences(pairs: Pairs, extra: float, size: int, rng: Random) -> list[float]:
    """Resampled differences of one label: the number of differing pairs, then the wins among them (a multinomial)."""
    wins, losses, items = pairs.wins + extra, pairs.losses + extra, pairs.items + 2 * extra
    return [
        (2 * binomial_draws(differing, wins / (wins + losses), 1, rng)[0] - differing) / pairs.items
        for differing in binomial_draws(pairs.items, (wins + losses) / items, size, rng)
    ]


def _require_same_items(truth: Truth, answers: Answers, arm: str) -> None:
    missing = next((item for item in truth if item not in answers), None)
    if missing is not None:
        raise ValueError(f"{arm}: no answer to item {missing!r}; ask every arm the same items")
    unknown = next((item for item in answers if item not in truth), None)
    if unknown is not None:
        raise ValueError(f"truth: no item {unknown!r}, which {arm} answered; ask every arm the same items")
