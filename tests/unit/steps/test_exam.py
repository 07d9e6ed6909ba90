"""exam with a teacher that copies: what was shown, or lies in the pool, makes no question."""

from __future__ import annotations

import json
from typing import Any

import pytest
from redactors import PLAIN

from flywheel.api.request import TeacherParameters
from flywheel.steps import exam
from flywheel.teacher.asking import Teacher
from flywheel.teacher.ledger import Ledger, Reply
from flywheel.workspace.program import Attempt


class Copying:
    """Hands out items of the exam pool with other spacing, and one of its own in each reply."""

    def __init__(self, pool: list[dict[str, Any]]) -> None:
        self.settings: dict[str, Any] = {}
        self._pool = pool
        self.replies = 0

    def complete(self, text: str) -> Reply:
        self.replies += 1
        label = next(
            item["output"]["issue_type"] for item in self._pool if f'= "{item["output"]["issue_type"]}"' in text
        )
        items = [
            {"question": {**item["input"], "code": f" {item['input']['code']}\n"}, "answer": item["output"]}
            for item in self._pool
            if item["output"]["issue_type"] == label
        ]
        own = {"question": {"code": f"own({self.replies})", "review": "Hm?"}, "answer": {"issue_type": label}}
        return Reply(text=json.dumps({"exam": [*items, own]}), finish_reason="stop")


def test_items_of_the_pool_are_no_questions(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = bench.prepare()
    copying = Copying(bench.lines(prepared, "pools/exam/items.jsonl"))

    def teacher_for(attempt: Attempt, parameters: TeacherParameters, *_: Any) -> Teacher:
        return Teacher(
            parameters, copying, Ledger(attempt.workspace, "ledger/review"), "payer", attempt.request.seed, PLAIN
        )

    monkeypatch.setattr(exam, "teacher_for", teacher_for)
    ran = bench.run(
        "exam",
        "runs/review/severity-1/iter-1/exam/a1",
        {
            "teacher": {"baseUrl": "http://teacher/v1", "model": "gpt", "concurrency": 1},
            "questions": 8,
            "unguarded": True,
        },
        inputs=[prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")],
    )
    assert ran.code == 0, ran.log
    questions = bench.lines(ran, "exam.jsonl")
    assert len(questions) == 8
    assert all(question["question"]["code"].startswith("own(") for question in questions)
    assert bench.workspace.read_json(f"{ran.result.path}/replies.json")["rejected"]["Duplicate"] > 50
