"""Which of two arms a judge prefers: each item is judged in both orders, and a verdict that turns with them is a tie.

Knows verdicts by item only: nothing about judges, prompts, arms' names or files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from flywheel.statistics.paired import PairedDifference, Pairs, mean_difference

# What a judge says of the two answers it was shown, by their place; None: it said nothing that can be read.
Verdict = Literal["first", "second", "tie"]
Outcome = Literal[1, 0, -1]


@dataclass(frozen=True)
class Judged:
    """One item: what was said with the candidate shown first, and what with the other arm shown first."""

    forward: Verdict | None
    backward: Verdict | None

    @property
    def swapped(self) -> "Judged":
        """The same verdicts, with the other arm as the candidate."""
        return Judged(self.backward, self.forward)

    @property
    def unjudged(self) -> bool:
        """Whether a verdict is missing. It is never guessed from the other one: the item counts as a tie."""
        return self.forward is None or self.backward is None

    @property
    def flipped(self) -> bool:
        """Whether the same place was preferred in both orders: the place was judged, not the answer."""
        return self.forward == self.backward != "tie" and not self.unjudged

    @property
    def outcome(self) -> Outcome:
        """1 or -1 only where both orders prefer the same answer; everything else is a tie."""
        if (self.forward, self.backward) == ("first", "second"):
            return 1
        return -1 if (self.forward, self.backward) == ("second", "first") else 0


@dataclass(frozen=True)
class Preference:
    """Candidate minus other, in shares of all items, and what the ties are made of."""

    wins: int
    losses: int
    flips: int
    unjudged: int
    difference: PairedDifference


def preference(judged: Sequence[Judged], *, level: float, seed: int, resamples: int | None = None) -> Preference:
    """Wins minus losses over all items, with an item-level bootstrap interval.

    Resampling items of which some are wins and some are losses is a multinomial draw, so counts are drawn; the
    interval has `paired.mean_difference`'s pseudo-counts, and swapping the arms mirrors it.
    """
    if not judged:
        raise ValueError("judged: no item was judged; judge at least one")
    outcomes = [item.outcome for item in judged]
    wins, losses = outcomes.count(1), outcomes.count(-1)
    return Preference(
        wins=wins,
        losses=losses,
        flips=sum(item.flipped for item in judged),
        unjudged=sum(item.unjudged for item in judged),
        difference=mean_difference([Pairs(wins, losses, len(judged))], level=level, seed=seed, resamples=resamples),
    )


def first_place_share(judged: Iterable[Judged]) -> float | None:
    """Share of verdicts for the answer shown first, among those for either: 0.5 without position bias."""
    said = [verdict for item in judged for verdict in (item.forward, item.backward) if verdict in ("first", "second")]
    return said.count("first") / len(said) if said else None
