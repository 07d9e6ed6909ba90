"""evaluate with a teacher that misbehaves: what it says is checked, asked for again, and given up in the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from redactors import PLAIN

from flywheel.api.request import TeacherParameters
from flywheel.api.result import Accuracy, AnswerFigures
from flywheel.steps.evaluate import GRADINGS
from flywheel.teacher import asking
from flywheel.teacher.asking import Teacher
from flywheel.teacher.ledger import Ledger, Reply
from flywheel.workspace.program import Attempt

LABELS = ["critical", "major", "minor", "trivial"]
CODE = "    return subprocess.Popen(command, shell=True, stdout=PIPE)"
QUESTIONS = [
    {"id": str(number), "question": {"code": f"{CODE}  # {number}", "review": "Why?"}, "answer": {"issue_type": label}}
    for number, label in enumerate(LABELS * 3)
]
GRADE = {"proficiency": 6, "feedback": {"strengths": [], "weaknesses": ["It mixes up major and minor."]}}


class Moody:
    """Replies to grading as told, and writes good examples unless told otherwise."""

    def __init__(self, grades: list[str], examples: Callable[[list[Any]], str] | None = None) -> None:
        self.settings: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self._grades = iter(grades)
        self._examples = examples or (lambda items: json.dumps({"dataset": items}))

    def complete(self, text: str) -> Reply:
        if "You examine" in text:
            self.asked["evaluation"] += 1
            return Reply(text=next(self._grades), finish_reason="stop")
        if "cannot be parsed" in text:
            return Reply(text="no", finish_reason="stop")
        self.asked["dataset"] += 1
        label = next(label for label in LABELS if f'"issue_type" = "{label}"' in text)
        code = f"call({self.asked['dataset']}, "
        items = [
            {"question": {"code": f"{code}{number})", "review": "Hm?"}, "answer": {"issue_type": label}}
            for number in range(10)
        ]
        return Reply(text=self._examples(items), finish_reason="stop")


def evaluate(bench: Any, monkeypatch: pytest.MonkeyPatch, moody: Moody, attempt: int = 1) -> Any:
    def teacher_for(attempt: Attempt, parameters: TeacherParameters, *_: Any) -> Teacher:
        return Teacher(
            parameters, moody, Ledger(attempt.workspace, "ledger/review"), "payer", attempt.request.seed, PLAIN
        )

    monkeypatch.setattr(asking, "teacher_for", teacher_for)
    home = "runs/review/severity-1/iter-1"
    bench.workspace.write_jsonl(f"{home}/exam/a1/exam.jsonl", QUESTIONS)
    # Any figures will do: only files and digests are read.
    figures = AnswerFigures(items=12, score=Accuracy(accuracy=0, low=0, high=0))
    inputs = [
        bench.prepare().entry("curriculum", "task.json", "signatures.json", "pools/curriculum"),
        {"name": "exam", **bench.finished(f"{home}/exam/a1", figures)},
        bench.answered(QUESTIONS),
    ]
    parameters = {
        "teacher": {"baseUrl": "http://teacher/v1", "model": "gpt", "concurrency": 1},
        "examples": 40,
        "replay": "0",
        "unguarded": True,
    }
    output = f"{home}/evaluate/a{attempt}"
    return bench.run("evaluate", output, parameters, inputs=inputs, attempt=attempt)


def test_an_unreadable_grade_is_asked_for_again(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moody = Moody(["Six of ten, I would say.", json.dumps(GRADE)])
    ran = evaluate(bench, monkeypatch, moody)
    assert ran.code == 0, ran.log
    assert (ran.result.figures.proficiency, moody.asked["evaluation"]) == (6, 2)


def test_no_readable_grade_fails_the_attempt_and_the_next_asks_anew(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = evaluate(bench, monkeypatch, Moody(["no"] * GRADINGS))
    assert (ran.code, ran.result.error.reason) == (1, "TeacherReplies")
    moody = Moody([json.dumps(GRADE)])
    again = evaluate(bench, monkeypatch, moody, attempt=2)
    assert again.code == 0, again.log
    assert moody.asked["evaluation"] == 1, "the bad replies are on record and were not paid again"
    assert again.result.figures.usage.recorded == GRADINGS


def test_feedback_never_carries_an_item_along(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    quoting = {"proficiency": 6, "feedback": {"weaknesses": [f"It fails on {CODE.strip()}", "Major is weak."]}}
    ran = evaluate(bench, monkeypatch, Moody([json.dumps(quoting)]))
    evaluation = bench.workspace.read_json(f"{ran.result.path}/evaluation.json")
    assert evaluation["feedback"] == {"strengths": [], "weaknesses": ["Major is weak."]}
    assert "1 sentences of the feedback quoted an item" in ran.log


@pytest.mark.parametrize(
    "examples",
    [
        lambda items: "I cannot help with that.",
        lambda items: "",
        lambda items: json.dumps({"dataset": QUESTIONS}),
        lambda items: json.dumps({"dataset": [{"question": {"code": 1}, "answer": {}}]}),
    ],
    ids=["refusal", "nothing", "the exam itself", "misfits"],
)
def test_nothing_usable_fails_the_attempt(
    bench: Any, monkeypatch: pytest.MonkeyPatch, examples: Callable[[list[Any]], str]
) -> None:
    ran = evaluate(bench, monkeypatch, Moody([json.dumps(GRADE)], examples))
    assert (ran.code, ran.result.error.reason) == (1, "TeacherReplies")
    assert not bench.workspace.exists("runs/review/severity-1/iter-1/evaluate/a1/manifest.json")


def test_a_partial_result_is_used_and_said(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = evaluate(bench, monkeypatch, Moody([json.dumps(GRADE)], lambda items: json.dumps({"dataset": items[:1]})))
    assert ran.code == 0, ran.log
    replies = bench.workspace.read_json(f"{ran.result.path}/replies.json")
    assert ran.result.figures.new_examples + sum(replies["short"].values()) == 40
    assert "short of" in ran.log
