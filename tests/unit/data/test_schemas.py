"""Items are checked by the task's schemas; a schema that reaches outside or is none is refused."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from flywheel.api.task import LabelField, Task
from flywheel.data.schemas import BadSchemaError, TaskSchemas

ORDER = ["critical", "major", "minor", "trivial"]
INPUT = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "review": {"type": "string", "minLength": 3}},
    "required": ["code", "review"],
}
OUTPUT = {"type": "object", "properties": {"issue_type": {"type": "string"}}, "required": ["issue_type"]}
GOOD = {"code": "eval(text)", "review": "Runs any code."}


def schemas(input_schema: dict[str, Any] = INPUT, output_schema: dict[str, Any] = OUTPUT) -> TaskSchemas:
    label = LabelField(path="issue_type", order=ORDER)
    return TaskSchemas(Task(instructions="Rate.", input_schema=input_schema, output_schema=output_schema, label=label))


def test_a_good_item_has_no_fault() -> None:
    assert schemas().fault(GOOD, {"issue_type": "critical"}) is None


@pytest.mark.parametrize(
    ("question", "answer", "kind", "path"),
    [
        ({"code": "x"}, {"issue_type": "major"}, "SchemaMismatch", "input"),
        ({"code": 3, "review": "Wrong type."}, {"issue_type": "major"}, "SchemaMismatch", "input.code"),
        ({"code": "x", "review": ""}, {"issue_type": "major"}, "SchemaMismatch", "input.review"),
        (GOOD, {"issue_type": "fatal"}, "UnknownLabel", "output.issue_type"),
        (GOOD, {"issue_type": None}, "SchemaMismatch", "output.issue_type"),
        (GOOD, "major", "SchemaMismatch", "output"),
        (None, {"issue_type": "major"}, "SchemaMismatch", "input"),
    ],
)
def test_a_fault_names_its_place_but_never_the_data(question: Any, answer: Any, kind: str, path: str) -> None:
    fault = schemas().fault(question, answer)
    assert fault is not None
    assert (fault.kind, fault.path) == (kind, path)
    assert "fatal" not in fault.message


@pytest.mark.parametrize(
    "ref", ["https://example.com/schema.json", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "other"]
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_references_out_of_the_document_are_refused_unread(
    ref: str, keyword: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a schema made a connection")

    monkeypatch.setattr(socket, "socket", no_network)
    with pytest.raises(BadSchemaError, match=r"inputSchema\.properties\.code.*points outside"):
        schemas({"type": "object", "properties": {"code": {keyword: ref}}})


def test_references_into_the_document_are_followed() -> None:
    inside = {"$defs": {"code": {"type": "string"}}, "properties": {"code": {"$ref": "#/$defs/code"}}}
    assert schemas(inside).fault({"code": "x"}, {"issue_type": "major"}) is None
    fault = schemas(inside).fault({"code": 1}, {"issue_type": "major"})
    assert fault is not None
    assert fault.path == "input.code"


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"type": "objekt"}, "no JSON Schema"),
        ({"properties": {"code": {"$ref": "#/$defs/none"}}}, "not in the schema"),
        ({"$id": "https://example.com/", "properties": {}}, r"\$id"),
    ],
)
def test_an_unusable_schema_is_refused(broken: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSchemaError, match=words):
        schemas(broken)


def test_a_schema_without_end_is_a_fault_not_a_crash() -> None:
    fault = schemas({"$ref": "#"}).fault(GOOD, {"issue_type": "major"})
    assert fault is not None
    assert "without end" in fault.message


def test_a_property_may_be_called_ref() -> None:
    odd = {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}}
    assert schemas(odd).fault({"$ref": "https://example.com"}, {"issue_type": "major"}) is None
