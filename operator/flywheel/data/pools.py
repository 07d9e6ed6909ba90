"""Which pool a group belongs to: fixed thresholds on a keyed hash, the same for ever (SCIENCE 1).

Must not know items: a group's pool depends on its name and the key alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

from flywheel.workspace.digest import digest_bytes

POOLS = ("exam", "curriculum", "validation", "test", "probe")
HELD_OUT = ("validation", "test")
SEEN = ("exam", "curriculum")  # by the teacher
UNSEEN = (*HELD_OUT, "probe")  # in no prompt and no training set


class BadRatiosError(ValueError):
    """Ratios that do not divide the whole."""


class Thresholds:
    """Pools as intervals of the hash, in the fixed order of POOLS. Raises BadRatiosError."""

    def __init__(self, key: str, ratios: Mapping[str, Decimal]) -> None:
        unknown = sorted(set(ratios) - set(POOLS))
        if unknown:
            raise BadRatiosError(f"pools.ratios names {', '.join(unknown)}: the pools are {', '.join(POOLS)}")
        total = sum(ratios.values())
        if total != 1:
            raise BadRatiosError(f"pools.ratios add up to {total}, not to 1: change one of {', '.join(POOLS)}")
        self._key = key
        self._ends: list[tuple[str, Fraction]] = []
        end = Fraction(0)
        for pool in POOLS:
            end += Fraction(ratios.get(pool, Decimal(0)))
            self._ends.append((pool, end))

    def pool(self, group: str) -> str:
        """The pool of a group."""
        digest = hashlib.sha256(f"{self._key}\0{group}".encode()).digest()
        # Exact: as a float the greatest hash would round up to 1 and belong nowhere.
        place = Fraction(int.from_bytes(digest[:8], "big"), 2**64)
        return next(pool for pool, end in self._ends if place < end)


def group_digests(groups: Iterable[str]) -> list[str]:
    """Groups as an adapter's card names them, whatever key their Curriculum has: without their names, each once."""
    return sorted({digest_bytes(group.encode()) for group in groups})
