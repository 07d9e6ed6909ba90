"""Feedback goes into the next exam's prompt: it never carries an item along."""

from __future__ import annotations

import pytest

from flywheel.teacher.feedback import Feedback, read_evaluation, without_quotations

CODE = "def run(cmd):\n    return subprocess.call(cmd, shell=True)  # noqa"
SHOWN = [{"question": {"code": CODE, "review": "Shell injection here"}, "answer": {"issue_type": "critical"}}]


def cleaned(*weaknesses: str) -> tuple[list[str], int]:
    feedback, quoted = without_quotations(Feedback(weaknesses=list(weaknesses)), SHOWN)
    return feedback.weaknesses, quoted


def test_words_about_items_stay() -> None:
    sentence = "Questions whose answer is critical are mostly taken for major."
    assert cleaned(sentence) == ([sentence], 0)


@pytest.mark.parametrize(
    "sentence",
    [
        "It fails on `return subprocess.call(cmd,   shell=True)  # noqa`.",
        f"It fails on {CODE}",
        "It overlooked: Shell injection here",
    ],
)
def test_quotations_go_and_are_counted(sentence: str) -> None:
    assert cleaned("It mixes up major and minor.", sentence) == (["It mixes up major and minor."], 1)


@pytest.mark.parametrize(
    "value",
    [
        {"proficiency": 0, "feedback": {}},
        {"proficiency": 11, "feedback": {}},
        {"proficiency": "good", "feedback": {}},
        {"proficiency": 5, "feedback": "fine"},
        {"proficiency": 5, "feedback": {"weaknesses": ["x" * 601]}},
        {"proficiency": 5, "feedback": {"weaknesses": [3]}},
    ],
)
def test_what_is_no_evaluation_is_refused(value: dict[str, object]) -> None:
    assert read_evaluation(value) is None


def test_an_evaluation() -> None:
    evaluation = read_evaluation({"proficiency": 5, "feedback": {"weaknesses": ["Major."]}, "more": 1})
    assert evaluation is not None
    assert evaluation.to_json_object() == {
        "proficiency": 5,
        "feedback": {"strengths": [], "weaknesses": ["Major."]},
    }
