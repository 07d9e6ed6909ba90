"""Whether two texts are nearly the same: laid out, commented, quoted or named otherwise, or little changed.

A sketch is the smallest hashes of a text's shingles, and estimates the Jaccard similarity of two texts (Broder 1997,
"On the resemblance and containment of documents"); short texts are kept whole, so that their similarity is exact.
Sketches hold no text. They are the same everywhere and for ever: SKETCHES is raised when they are made otherwise.
Must not know items or pools.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

SKETCHES = 2  # version of everything below that changes a sketch; of 1, short code has no shape
SIZE = 256  # hashes kept of one view
WORDS = 4  # tokens a shingle, as they are written
SHAPES = 5  # tokens a shingle, with names and literals left out
FEWEST_SHAPES = 20  # in shorter code names are numbered from its beginning, not in each shingle: more is told apart
FEWEST_SHORT = 12  # still shorter code has the whole shape of other code by chance

_TOKENS = re.compile(
    r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    r"|/\*(?:.|\n)*?\*/|#.*|//.*|\d[\w.]*|\w+|[^\w\s]"
)
_COMMENTS, _QUOTES = ("#", "//", "/*"), ("'", '"')
# Of Python, Java, Go and JavaScript: what is left when names are left out.
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
        and as assert async await bool break case catch class const continue def default defer del do elif else enum
        except export extends false False final finally for from func function global go goto if implements import in
        instanceof int interface is lambda let map new nil None nonlocal not null or package pass private protected
        public raise range return select static struct super switch throw throws true True try type typeof
        undefined var void while with yield
        """,
    )
)


@dataclass(frozen=True)
class Sketch:
    """Two views of a text, each as sorted hashes: its words, and its shape (empty where it is too short)."""

    words: tuple[int, ...]
    shape: tuple[int, ...]


def sketch(text: str) -> Sketch:
    """The sketch of a text, of code or not."""
    tokens = _code(text)
    words = {" ".join(gram) for gram in _grams(list(_words(tokens)), WORDS)}
    return Sketch(_smallest(words), _smallest(_shape(tokens)))


def _shape(tokens: list[str]) -> set[str]:
    shape = {" ".join(_renamed(gram)) for gram in _grams(tokens, SHAPES)}
    if len(shape) >= FEWEST_SHAPES:
        return shape
    # Names alone are prose, or say nothing.
    grams = _grams(list(_renamed(tokens)), SHAPES)
    short = {" ".join(gram) for gram in grams if sum(not token.startswith("name") for token in gram) >= 2}
    return short if len(short) >= FEWEST_SHORT else set()


def similarity(one: Sketch, other: Sketch) -> float:
    """From 0 to 1: of the view in which they are more alike."""
    return max(_jaccard(one.words, other.words), _jaccard(one.shape, other.shape))


def _code(text: str) -> list[str]:
    return [token for token in _TOKENS.findall(text) if not token.startswith(_COMMENTS)]


def _words(tokens: list[str]) -> Iterator[str]:
    for token in tokens:
        # In a string or docstring the words count, not the marks around them.
        yield from re.findall(r"\w+", token.lower()) if token.startswith(_QUOTES) else [token.lower()]


def _grams(tokens: list[str], length: int) -> Iterator[list[str]]:
    for start in range(max(1, len(tokens) - length + 1) if tokens else 0):
        yield tokens[start : start + length]


def _renamed(gram: list[str]) -> Iterator[str]:
    names: dict[str, int] = {}
    for token in gram:
        if token.startswith(_QUOTES):
            yield "text"
        elif token[0].isdigit():
            yield "number"
        elif (token[0].isalpha() or token[0] == "_") and token not in _KEYWORDS:
            yield f"name{names.setdefault(token, len(names))}"
        else:
            yield token


def _hashes(shingles: Collection[str]) -> set[int]:
    return {int.from_bytes(hashlib.blake2b(each.encode(), digest_size=4).digest(), "big") for each in shingles}


def _smallest(shingles: Collection[str]) -> tuple[int, ...]:
    return tuple(sorted(_hashes(shingles))[:SIZE])


def _jaccard(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    if not one or not other:
        return 0.0
    shared = set(one).intersection(other)
    if max(len(one), len(other)) < SIZE:
        return len(shared) / (len(one) + len(other) - len(shared))
    # Perhaps not whole: the smallest hashes of both together are a fair sample of their union.
    sample = sorted({*one, *other})[:SIZE]
    return sum(each in shared for each in sample) / len(sample)


class Known:
    """Sketches by name, to be asked which of them a text is nearly the same as."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._sketches: dict[str, Sketch] = {}
        self._holders: defaultdict[tuple[str, int], list[str]] = defaultdict(list)

    def add(self, name: str, found: Sketch) -> None:
        """Remember a sketch."""
        self._sketches[name] = found
        for place in self._telling(found):
            self._holders[place].append(name)

    def nearest(self, found: Sketch) -> tuple[str, float] | None:
        """The name and similarity of the most alike, or None where none reaches the threshold."""
        names = {name for place in self._telling(found) for name in self._holders.get(place, ())}
        alike = [(similarity(found, self._sketches[name]), name) for name in names if self._perhaps(found, name)]
        best = max(alike, default=(0.0, ""), key=lambda entry: (entry[0], entry[1]))
        return (best[1], best[0]) if best[0] >= self._threshold else None

    def _perhaps(self, found: Sketch, name: str) -> bool:
        """Sets of very different sizes share too little."""
        other = self._sketches[name]
        pairs = ((len(found.words), len(other.words)), (len(found.shape), len(other.shape)))
        return any(min(pair) >= self._threshold * max(pair) > 0 for pair in pairs)

    def _telling(self, found: Sketch) -> Iterator[tuple[str, int]]:
        """Two sets that share so much share one of so many smallest hashes (prefix filter, Chaudhuri et al. 2006)."""
        for view, hashes in (("words", found.words), ("shape", found.shape)):
            prefix = len(hashes) - math.ceil(self._threshold * len(hashes) - 1e-9) + 1
            yield from ((view, each) for each in hashes[:prefix])


class Quoted:
    """Sketches, to be asked whether a longer text holds nearly all of one, word for word."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._sizes: list[int] = []
        self._holders: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, known: Sketch) -> None:
        """Remember a sketch."""
        for each in known.words:
            self._holders[each].append(len(self._sizes))
        self._sizes.append(len(known.words))

    def any_in(self, text: str) -> bool:
        """Whether the text holds at least the threshold's share of a sketch, which is a fair sample of its text."""
        words = {" ".join(gram) for gram in _grams(list(_words(_code(text))), WORDS)}
        found = Counter(place for each in _hashes(words) for place in self._holders.get(each, ()))
        return any(count >= self._threshold * self._sizes[place] for place, count in found.items())
