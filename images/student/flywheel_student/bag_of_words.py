"""Answers by word counts: multinomial logistic regression on the words of a question, learnt from labelled items.

Convex, so it ends where any solver ends; torch is here already, scikit-learn would be a hundred megabytes. Must not
know the student.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log1p
from typing import Any

import torch
from torch.nn.functional import cross_entropy, embedding_bag

Question = Mapping[str, Any]

_WORD = re.compile(r"\w+")
_MOST_WORDS = 50_000
_FEWEST_ITEMS = 2  # that a word must be in
_PENALTY = 1.0  # of half the squared weights: scikit-learn's default
_STEPS = 200


class BagOfWords:
    """Fitted to questions and their labels. Labels count alike, however many items they have."""

    def __init__(self, order: Sequence[str], examples: Sequence[tuple[Question, str]]) -> None:
        self._order = list(order)
        known = Counter(word for question, _ in examples for word in set(_words(question)))
        common = [word for word, items in known.most_common(_MOST_WORDS) if items >= _FEWEST_ITEMS]
        self._places = {word: place for place, word in enumerate(common)}
        self._weights = torch.zeros(len(common), len(order), dtype=torch.float64, requires_grad=True)
        self._bias = torch.zeros(len(order), dtype=torch.float64, requires_grad=True)
        truth = torch.tensor([self._order.index(label) for _, label in examples])
        self._fit([question for question, _ in examples], truth)

    @torch.no_grad()
    def answers(self, questions: Sequence[Question]) -> list[str]:
        """The likeliest label of each question."""
        return [self._order[place] for place in self._scores(*self._features(questions)).argmax(dim=1).tolist()]

    def _fit(self, questions: Sequence[Question], truth: torch.Tensor) -> None:
        features = self._features(questions)
        counts = torch.bincount(truth, minlength=len(self._order))
        alike = len(truth) / (int((counts > 0).sum()) * counts.clamp(min=1).double())
        solver = torch.optim.LBFGS([self._weights, self._bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            solver.zero_grad()
            wrong = cross_entropy(self._scores(*features), truth, weight=alike, reduction="sum")
            found = wrong + _PENALTY / 2 * self._weights.square().sum()
            found.backward()
            return found

        solver.step(loss)

    def _scores(self, places: torch.Tensor, starts: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return self._bias + embedding_bag(places, self._weights, starts, mode="sum", per_sample_weights=values)

    def _features(self, questions: Sequence[Question]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Known words of all questions in a row, where each begins, and their logarithmic counts to the length 1."""
        places, starts, values = list[int](), list[int](), list[float]()
        for question in questions:
            starts.append(len(places))
            found = {
                self._places[word]: log1p(count) for word, count in _words(question).items() if word in self._places
            }
            length = sum(value * value for value in found.values()) ** 0.5
            places += found
            values += [value / length for value in found.values()]
        return torch.tensor(places, dtype=torch.long), torch.tensor(starts), torch.tensor(values, dtype=torch.float64)


def _words(question: Question) -> Counter[str]:
    """Words, each by the field it is in."""
    found = ((name, word) for name, value in question.items() for word in _WORD.findall(str(value).lower()))
    return Counter(f"{name} {word}" for name, word in found)
