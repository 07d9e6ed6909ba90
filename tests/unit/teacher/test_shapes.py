"""Schemas that are sent: strict, complete in themselves, and whatever fits them fits the task."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flywheel.api.task import LabelField, Task
from flywheel.teacher.shapes import evaluation_shape, items_shape, response_format

LABELS = ["critical", "major"]
ANSWER = {"type": "object", "properties": {"issue_type": {"enum": LABELS}}, "required": []}
NESTED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"line": {"type": "object", "properties": {"text": {"type": "string"}, "next": {"$ref": "#/$defs/line"}}}},
    "properties": {
        "properties": {"type": "string"},  # a field of that name is a field
        "$ref": {"type": "string", "const": "#/no/reference"},
        "lines": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/line"}, {"type": "null"}]}},
        "whole": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["lines"],
}
CODE = {"type": "object", "properties": {"code": {"type": "string"}, "review": {"type": "string"}}}


def task(question: dict[str, Any]) -> Task:
    label = LabelField(path="issue_type", order=LABELS)
    return Task(instructions="Rate.", input_schema=question, output_schema=ANSWER, label=label)


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every schema with properties, found by position."""
    if not isinstance(schema, dict):
        return []
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", [])]
    found = [one for part in (*inner, schema.get("items")) for one in objects(part)]
    return [*found, schema] if "properties" in schema else found


@pytest.mark.parametrize("question", [CODE, NESTED])
def test_every_object_is_closed_and_every_property_asked_for(question: dict[str, Any]) -> None:
    before = json.dumps(question)
    shape = items_shape("exam", task(question))
    Draft202012Validator.check_schema(shape)
    assert len(objects(shape)) == (4 if question is CODE else 5)
    for schema in objects(shape):
        assert schema["additionalProperties"] is False
        assert sorted(schema["required"]) == sorted(schema["properties"])
    answer = shape["properties"]["exam"]["items"]["properties"]["answer"]
    assert answer["properties"]["issue_type"] == {"type": "string", "enum": LABELS}
    assert json.dumps(question) == before, "the task's own schema stays as it is"


def test_references_lead_where_they_led() -> None:
    shape = items_shape("exam", task(NESTED))
    line = {"text": "a", "next": None}
    inner: dict[str, Any] = {"properties": "p", "$ref": "#/no/reference", "lines": [], "whole": None}
    good: dict[str, Any] = inner | {"lines": [None], "whole": inner}
    validator = Draft202012Validator(shape)

    def fits(question: dict[str, Any]) -> bool:
        item = {"question": question, "answer": {"issue_type": "major"}}
        return validator.is_valid({"exam": [item]})

    assert fits(good) and Draft202012Validator(NESTED).is_valid(good)
    assert not fits(good | {"whole": {"properties": 1}})
    assert not fits(good | {"lines": [line]}), "next is a line"
    assert not fits(good | {"$ref": "#/$defs/line"})
    assert not fits({"lines": []}) and not fits(good | {"more": 1})


def test_an_empty_list_and_a_grade_fit() -> None:
    Draft202012Validator(items_shape("dataset", task(CODE))).validate({"dataset": []})
    Draft202012Validator(evaluation_shape()).validate(
        {"proficiency": 3, "feedback": {"strengths": [], "weaknesses": []}}
    )


def test_nothing_is_sent_where_nothing_is_wanted() -> None:
    shape = evaluation_shape()
    assert response_format(None, "evaluation", shape) == {} == response_format("JSONSchema", "x", None)
    assert response_format("JSONObject", "evaluation", shape) == {"response_format": {"type": "json_object"}}
    sent = response_format("JSONSchema", "evaluation", shape)["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "evaluation", "strict": True, "schema": shape}}
