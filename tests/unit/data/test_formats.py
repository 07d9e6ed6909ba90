"""Each format gives the same item; of a request log only corrected labels are labels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flywheel.api.request import Source, SourceFormat
from flywheel.api.task import LabelField, Task
from flywheel.data.schemas import TaskSchemas
from flywheel.data.sources import Placed, Reject, read_source

TASK = Task(
    instructions="Rate.",
    input_schema={"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    output_schema={"type": "object", "properties": {"issue_type": {"enum": ["major", "minor"]}}},
    label=LabelField(path="issue_type", order=["major", "minor"]),
)
QUESTION, ANSWER = {"code": "x = 1"}, {"issue_type": "minor"}
ASKED = {"request": {"messages": [{"role": "system", "content": "Rate."}, {"role": "user", "content": "x = 1"}]}}
SERVED = {"response": {"choices": [{"message": {"role": "assistant", "content": "major"}}]}}


def read(format: SourceFormat, line: Any, task: Task = TASK) -> Placed | Reject:
    source = Source(name="s", truth="Human", group="repo", path="x.jsonl", format=format)
    (entry,) = read_source(source, [json.dumps({"repo": "a", **line}).encode()], TaskSchemas(task))
    return entry


@pytest.mark.parametrize(
    ("format", "line"),
    [
        ("Jsonl", {"input": QUESTION, "output": ANSWER}),
        ("Alpaca", {"instruction": "Rate.", "input": "x = 1", "output": "minor"}),
        ("Alpaca", {"instruction": "x = 1", "input": "", "output": " minor\n"}),
        ("Alpaca", {"instruction": "Rate.", "input": json.dumps(QUESTION), "output": json.dumps(ANSWER)}),
        ("Chat", {"messages": [{"role": "user", "content": "x = 1"}, {"role": "assistant", "content": "minor"}]}),
        (
            "Chat",
            {
                "messages": [
                    {"role": "user", "content": "Hello"},
                    {"role": "assistant", "content": "major"},
                    {"role": "user", "content": json.dumps(QUESTION)},
                    {"role": "assistant", "content": json.dumps(ANSWER)},
                ]
            },
        ),
        ("RequestLog", {**ASKED, **SERVED, "feedback": {"verdict": "corrected", "corrected": "minor"}}),
        ("RequestLog", {**ASKED, **SERVED, "feedback": {"verdict": "corrected", "corrected": ANSWER}}),
    ],
)
def test_every_format_gives_the_item(format: SourceFormat, line: dict[str, Any]) -> None:
    entry = read(format, line)
    assert isinstance(entry, Placed), entry
    assert (entry.item.input, entry.item.output, entry.item.group) == (QUESTION, ANSWER, "a")


@pytest.mark.parametrize(
    ("format", "line", "reason", "broken"),
    [
        ("RequestLog", {**ASKED, **SERVED}, "NoFeedback", False),
        ("RequestLog", {**ASKED, **SERVED, "feedback": {"verdict": "accepted"}}, "FeedbackAccepted", False),
        ("RequestLog", {**ASKED, **SERVED, "feedback": {"verdict": "rejected"}}, "FeedbackRejected", False),
        ("RequestLog", {**ASKED, **SERVED, "feedback": {"verdict": "corrected"}}, "SchemaMismatch", True),
        ("RequestLog", {**ASKED, "feedback": {"verdict": "corrected", "corrected": "fatal"}}, "SchemaMismatch", True),
        ("RequestLog", {"feedback": {"verdict": "corrected", "corrected": "minor"}}, "SchemaMismatch", True),
        ("RequestLog", {**ASKED, "feedback": {"verdict": "liked"}}, "SchemaMismatch", True),
        ("Chat", {"messages": [{"role": "user", "content": "x = 1"}]}, "SchemaMismatch", True),
        ("Chat", {"messages": "x = 1"}, "SchemaMismatch", True),
        ("Chat", {"messages": [7, {"role": "user"}]}, "SchemaMismatch", True),
        ("Alpaca", {"instruction": "Rate.", "output": 7}, "SchemaMismatch", True),
        ("Alpaca", {}, "SchemaMismatch", True),
    ],
)
def test_the_rest_is_counted_and_only_broken_lines_count_against_the_source(
    format: SourceFormat, line: dict[str, Any], reason: str, broken: bool
) -> None:
    entry = read(format, line)
    assert isinstance(entry, Reject), entry
    assert (entry.reason, entry.broken) == (reason, broken)


def test_bare_text_for_a_question_of_two_fields_is_no_question() -> None:
    two = TASK.model_copy(update={"input_schema": {"properties": {"code": {}, "review": {}}, "required": ["code"]}})
    entry = read("Alpaca", {"instruction": "Rate.", "input": "x = 1", "output": "minor"}, two)
    assert isinstance(entry, Reject)
