"""Which label a question has, as the stand-in sees it: what it has in stock it knows, of the rest it judges by words.

Naive Bayes over the words of the stock. It is often wrong, as a teacher may be.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from math import log
from typing import Any

from reading import texts

_WORD = re.compile(r"[A-Za-z_]{2,}")


class Labeller:
    """Labels of `path` for questions."""

    def __init__(self, items: Iterable[dict[str, Any]], known: Iterable[dict[str, Any]] = ()) -> None:
        """`known` items are known by heart; nothing is learnt of them."""
        self._items = list(items)
        self._known = list(known)
        self._eases: dict[tuple[str, str, str], float] = {}
        self._by_path: dict[str, tuple[dict[str, str], dict[str, Counter[str]], int]] = {}

    def label(self, question: Any, path: str) -> str:
        """The label that it would give."""
        if path not in self._by_path:
            self._by_path[path] = self._learn(path)
        if (label := self._by_path[path][0].get(key(question))) is not None:
            return label
        likely = self._likely(question, path)
        return max(likely, key=lambda label: likely[label])

    def ease(self, question: Any, path: str, label: str) -> float:
        """By how much the words speak for this label rather than for another."""
        if path not in self._by_path:
            self._by_path[path] = self._learn(path)
        place = (key(question), path, label)
        if place not in self._eases:
            likely = self._likely(question, path)
            self._eases[place] = likely[label] - max(found for other, found in likely.items() if other != label)
        return self._eases[place]

    def _likely(self, question: Any, path: str) -> dict[str, float]:
        _, words, vocabulary = self._by_path[path]
        asked, found = _words(question), dict[str, float]()
        for label, counts in words.items():
            total = counts.total() + vocabulary
            found[label] = sum(log((counts[word] + 1) / total) for word in asked)
        return found

    def _learn(self, path: str) -> tuple[dict[str, str], dict[str, Counter[str]], int]:
        known = {key(item["input"]): str(item["output"].get(path)) for item in (*self._known, *self._items)}
        words: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for item in self._items:
            words[str(item["output"].get(path))].update(set(_words(item["input"])))
        return known, words, len(set().union(*words.values()))


def key(question: Any) -> str:
    """The question as one text."""
    return json.dumps(question, sort_keys=True, ensure_ascii=False)


def _words(question: Any) -> list[str]:
    return sorted({word for text in texts(question) for word in _WORD.findall(text)})
