"""An exam's outcome: answers against the key, per label. Unparsable and over-long are wrong and counted apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.api.item import Answer, Question
from flywheel.statistics.confusion import Confusion
from flywheel.statistics.independent import balanced_difference
from flywheel.statistics.intervals import Interval

GAP_LEVEL = 0.95


class UnansweredError(ValueError):
    """The answers are not those of the exam."""


def score(
    questions: Sequence[Question], answers: Mapping[str, Answer], label_path: str, labels: Sequence[str]
) -> Confusion:
    """The confusion matrix; raises UnansweredError where a question has no answer."""
    missing = [question.id for question in questions if question.id not in answers]
    if missing:
        raise UnansweredError(f"{len(missing)} of {len(questions)} questions have no answer, the first is {missing[0]}")
    pairs: list[tuple[str, str | None]] = []
    for question in questions:
        answered = answers[question.id].label
        pairs.append((str(question.answer[label_path]), answered if answered in labels else None))
    return Confusion.of(labels, pairs)


def inflation_gap(
    questions: Sequence[Question], answers: Mapping[str, Answer], label_path: str, labels: Sequence[str]
) -> Interval | None:
    """Balanced accuracy by the teacher's keys minus that on the anchors, over the labels that both have."""
    written, anchors = (
        score([question for question in questions if question.origin == origin], answers, label_path, labels)
        for origin in ("teacher", "anchor")
    )
    both = [label for label in labels if written.support[label] and anchors.support[label]]
    if not both:
        return None
    ones, others = ([(side.correct[label], side.support[label]) for label in both] for side in (written, anchors))
    return balanced_difference(ones, others, level=GAP_LEVEL)


def figures(confusion: Confusion, answers: Sequence[Answer]) -> dict[str, Any]:
    """What the teacher is shown: per label, and which label is taken for which."""
    recall, precision, support, correct = (
        confusion.recall,
        confusion.precision,
        confusion.support,
        confusion.correct,
    )
    states = Counter(answer.state for answer in answers)
    return {
        "questions": confusion.items,
        "accuracy": round(confusion.accuracy, 4),
        "balancedAccuracy": round(confusion.balanced_accuracy, 4),
        "unusable": {state: states[state] for state in ("unparsable", "cut", "overLong")},
        "labels": [
            {
                "label": label,
                "questions": support[label],
                "correct": correct[label],
                "recall": _rounded(recall[label]),
                "precision": _rounded(precision[label]),
                "takenFor": _confused(confusion, place),
            }
            for place, label in enumerate(confusion.labels)
        ],
    }


def _confused(confusion: Confusion, row: int) -> dict[str, int]:
    columns = [*confusion.labels, "no label"]
    wrong = {column: confusion.counts[row][place] for place, column in enumerate(columns) if place != row}
    return {column: count for column, count in wrong.items() if count}


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
