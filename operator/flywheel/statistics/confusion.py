"""Confusion matrix of one arm, and the figures read from it.

Unparsable, cut and over-long answers come in as None: they are wrong, and counted apart.
Knows labels only: nothing about items, models, prompts or files.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Confusion:
    """Counts with a row per true label and a column per answered label; the last column holds answers without label."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, labels: Sequence[str], pairs: Iterable[tuple[str, str | None]]) -> Self:
        """Count pairs of (truth, answer) over a fixed order of labels."""
        columns: tuple[str | None, ...] = (*labels, None)
        if len(set(labels)) != len(labels):
            raise ValueError(f"labels: {list(labels)} holds a label twice; name each label once")
        counted = Counter(pairs)
        for truth, answer in counted:
            if truth not in labels:
                raise ValueError(f"truth: {truth!r} is not one of the labels {list(labels)}; add it or drop the item")
            if answer not in columns:
                raise ValueError(f"answer: {answer!r} is not one of the labels {list(labels)}; give None for no label")
        return cls(tuple(labels), tuple(tuple(counted[truth, answer] for answer in columns) for truth in labels))

    @property
    def items(self) -> int:
        return sum(self.support.values())

    @property
    def support(self) -> dict[str, int]:
        """Items per true label."""
        return {label: sum(row) for label, row in zip(self.labels, self.counts, strict=True)}

    @property
    def correct(self) -> dict[str, int]:
        return {label: row[column] for column, (label, row) in enumerate(zip(self.labels, self.counts, strict=True))}

    @property
    def answered(self) -> dict[str, int]:
        """Items per answered label, right or wrong."""
        return {label: sum(row[column] for row in self.counts) for column, label in enumerate(self.labels)}

    @property
    def unparsable(self) -> int:
        return sum(row[-1] for row in self.counts)

    @property
    def missing(self) -> tuple[str, ...]:
        """Labels with no items: left out of balanced accuracy and macro-F1, and so to be shown beside them."""
        return tuple(label for label, items in self.support.items() if items == 0)

    @property
    def strata(self) -> tuple[tuple[int, int], ...]:
        """(correct, items) of each label that has items: what an interval of balanced accuracy is computed from."""
        self._require_items()
        return tuple((self.correct[label], items) for label, items in self.support.items() if items)

    @property
    def accuracy(self) -> float:
        self._require_items()
        return sum(self.correct.values()) / self.items

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the labels that have items; `missing` names those left out."""
        recalls = [correct / items for correct, items in self.strata]
        return sum(recalls) / len(recalls)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the labels that have items, the same labels as balanced accuracy."""
        self._require_items()
        support, correct, answered = self.support, self.correct, self.answered
        scores = [2 * correct[label] / (support[label] + answered[label]) for label in self.labels if support[label]]
        return sum(scores) / len(scores)

    @property
    def recall(self) -> dict[str, float | None]:
        """Share of a label's items answered with it; None for a label with no items."""
        return _shares(self.correct, self.support)

    @property
    def precision(self) -> dict[str, float | None]:
        """Share of right answers among those with a label; None for a label never answered."""
        return _shares(self.correct, self.answered)

    @property
    def majority(self) -> tuple[str, float]:
        """The commonest true label (the first of equals) and the accuracy of always answering it."""
        self._require_items()
        support = self.support
        label = max(self.labels, key=lambda each: support[each])
        return label, support[label] / self.items

    def _require_items(self) -> None:
        if self.items == 0:
            raise ValueError(f"pairs: no label of {list(self.labels)} has items; score at least one item")


def _shares(parts: dict[str, int], wholes: dict[str, int]) -> dict[str, float | None]:
    return {label: parts[label] / whole if whole else None for label, whole in wholes.items()}
