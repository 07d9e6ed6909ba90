"""The text that is judged: the field where there is one, else what was said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flywheel.api.task import LabelField, Task, TextField
from flywheel.data.schemas import TaskSchemas
from flywheel.data.texts import judged_text

TASK = Task(
    instructions="Rate and explain.",
    input_schema={"type": "object"},
    output_schema={"type": "object"},
    label=LabelField(path="severity", order=["major", "minor"]),
    scoring="Judge",
    text=TextField(path="why"),
)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('{"severity": "major", "why": " It crashes. "}', "It crashes."),
        ('{"why": "No label, and a reason."}', "No label, and a reason."),
        ('{"severity": "major"}', '{"severity": "major"}'),
        ('{"severity": "major", "why": 3}', '{"severity": "major", "why": 3}'),
        ("Severity: major. It crashes.", "Severity: major. It crashes."),
        ('{"severity": "major", "why": "cut off in the mid', '{"severity": "major", "why": "cut off in the mid'),
        ("  ", ""),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_judged_text(said: str, text: str) -> None:
    assert judged_text(said, TASK) == text


@given(st.text())
def test_anything_that_was_said_is_a_text(said: str) -> None:
    assert isinstance(judged_text(said, TASK), str)


@pytest.mark.parametrize(
    "answer", [{"severity": "major"}, {"severity": "major", "why": " "}, {"severity": "major", "why": 1}]
)
def test_an_item_without_its_text_is_a_fault(answer: dict[str, object]) -> None:
    fault = TaskSchemas(TASK).fault({}, answer)
    assert fault is not None and (fault.kind, fault.path) == ("SchemaMismatch", "output.why")
    assert TaskSchemas(TASK).fault({}, {"severity": "major", "why": "It crashes."}) is None


@pytest.mark.parametrize(
    "change", [{"scoring": "Exact"}, {"text": None}, {"text": {"path": "severity"}}, {"scoring": "Exact", "text": None}]
)
def test_a_text_is_named_exactly_where_it_is_judged(change: dict[str, object]) -> None:
    value = TASK.to_json_object() | change
    if change == {"scoring": "Exact", "text": None}:
        assert Task.model_validate(value).text is None
        return
    with pytest.raises(ValidationError, match="text must be set exactly where scoring is Judge"):
        Task.model_validate(value)
