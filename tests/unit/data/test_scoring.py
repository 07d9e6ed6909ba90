"""An exam is marked by code; the figures that the teacher sees are those marks."""

from __future__ import annotations

import pytest

from flywheel.api.item import Answer, Question
from flywheel.data.scoring import UnansweredError, figures, score

LABELS = ["critical", "major"]
QUESTIONS = [
    Question(id=name, question={"code": name}, answer={"issue_type": label})
    for name, label in (("a", "critical"), ("b", "critical"), ("c", "major"), ("d", "major"))
]


def answers(*labels: str | None) -> dict[str, Answer]:
    return {
        question.id: Answer(id=question.id, truth="", label=label, state="ok" if label else "unparsable")
        for question, label in zip(QUESTIONS, labels, strict=True)
    }


def test_figures_per_label() -> None:
    given = answers("critical", "major", "major", None)
    shown = figures(score(QUESTIONS, given, "issue_type", LABELS), list(given.values()))
    assert shown["balancedAccuracy"] == 0.5
    assert shown["unusable"] == {"unparsable": 1, "cut": 0, "overLong": 0}
    assert shown["labels"][0] == {
        "label": "critical",
        "questions": 2,
        "correct": 1,
        "recall": 0.5,
        "precision": 1.0,
        "takenFor": {"major": 1},
    }
    assert shown["labels"][1]["takenFor"] == {"no label": 1}


def test_the_exams_key_counts_not_what_the_answers_claim() -> None:
    given = {name: answer.model_copy(update={"truth": "major"}) for name, answer in answers(*["major"] * 4).items()}
    assert score(QUESTIONS, given, "issue_type", LABELS).correct == {"critical": 0, "major": 2}


def test_a_missing_answer_is_said() -> None:
    given = answers("critical", "critical", "major", "major")
    del given["c"]
    with pytest.raises(UnansweredError, match="1 of 4"):
        score(QUESTIONS, given, "issue_type", LABELS)
