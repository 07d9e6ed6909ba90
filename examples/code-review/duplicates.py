"""Near-duplicate code: the same text up to layout, or almost the same tokens.

Knows text only.
"""

import hashlib
import re
from collections import defaultdict

NEAR = 0.7  # Jaccard similarity of token shingles from which two units count as the same
SHINGLE = 4
BANDS, ROWS = 16, 3  # pairs at 0.7 share a band with probability 0.998


class Seen:
    """The code met so far."""

    def __init__(self) -> None:
        self._shingles: list[frozenset[int]] = []
        self._bands: dict[tuple[int, ...], list[int]] = defaultdict(list)

    def add(self, code: str) -> bool:
        """Remember the code; False where a duplicate is known already."""
        shingles = _shingles(code)
        bands = _bands(shingles)
        near = {index for band in bands for index in self._bands[band]}
        if any(_jaccard(shingles, self._shingles[index]) >= NEAR for index in near):
            return False
        self._shingles.append(shingles)
        for band in bands:
            self._bands[band].append(len(self._shingles) - 1)
        return True


def _shingles(code: str) -> frozenset[int]:
    tokens = re.findall(r"\w+|[^\w\s]", re.sub(r"#.*", "", code).lower())
    grams = {" ".join(tokens[i : i + SHINGLE]) for i in range(max(1, len(tokens) - SHINGLE + 1))}
    return frozenset(int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "big") for gram in grams)


def _bands(shingles: frozenset[int]) -> list[tuple[int, ...]]:
    prime = (1 << 61) - 1
    seeds = range(1, BANDS * ROWS + 1)
    minima = [min((seed * 0x9E3779B97F4A7C15 ^ s) * 0xBF58476D1CE4E5B9 % prime for s in shingles) for seed in seeds]
    return [(band, *minima[band * ROWS : (band + 1) * ROWS]) for band in range(BANDS)]


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
