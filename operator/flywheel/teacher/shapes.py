"""The shape of a reply as JSON Schema, for endpoints that keep to one themselves; replies are checked all the same.

Strict mode wants every object closed and every property written, so the schemas sent are narrower than the task's:
what fits them fits the task, as long as allOf, not and if stay out of it. Must not know the endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from flywheel.api.endpoint import StructuredOutputs
from flywheel.api.task import Task
from flywheel.data.tokens import property_order

Schema = dict[str, Any]
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "contains", "additionalProperties", "not", "if", "then", "else")


def items_shape(name: str, task: Task) -> Schema:
    """An object with the list `name` of questions with their answers."""
    at = f"#/properties/{name}/items/properties"
    item = {
        "question": _strict(task.input_schema, f"{at}/question"),
        "answer": _strict(task.output_schema, f"{at}/answer"),
    }
    return _object({name: {"type": "array", "items": _object(item)}})


def labels_shape(labels: Sequence[str]) -> Schema:
    """A label for each numbered question."""
    entry = _object({"number": {"type": "integer"}, "label": {"type": "string", "enum": list(labels)}})
    return _object({"labels": {"type": "array", "items": entry}})


def evaluation_shape() -> Schema:
    """A grade with its feedback."""
    sentences = {"type": "array", "items": {"type": "string"}}
    feedback = _object({"strengths": sentences, "weaknesses": sentences})
    return _object({"proficiency": {"type": "integer"}, "feedback": feedback})


def response_format(wanted: StructuredOutputs | None, name: str, shape: Schema | None) -> dict[str, Any]:
    """What a request says of its reply's format: nothing where none is wanted."""
    if wanted is None or shape is None:
        return {}
    if wanted == "JSONObject":
        return {"response_format": {"type": "json_object"}}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": shape}}}


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _strict(schema: Any, place: str) -> Any:
    """A schema for strict mode, as it stands at `place` of a document: its own references begin there."""
    if not isinstance(schema, dict):
        return schema
    out = dict(cast("Schema", schema))
    for key in _BY_NAME:
        if isinstance(out.get(key), dict):
            out[key] = {name: _strict(part, place) for name, part in cast("Schema", out[key]).items()}
    for key in _LISTED:
        if isinstance(out.get(key), list):
            out[key] = [_strict(part, place) for part in cast("list[Any]", out[key])]
    for key in _SINGLE:
        if key in out:
            out[key] = _strict(out[key], place)
    if (reference := out.get("$ref")) == "#" or (isinstance(reference, str) and reference.startswith("#/")):
        out["$ref"] = place + reference.removeprefix("#")
    out.pop("$schema", None)
    if "type" not in out and all(isinstance(value, str) for value in cast("list[Any]", out.get("enum", [None]))):
        out["type"] = "string"  # strict mode wants a type beside an enum
    if isinstance(out.get("properties"), dict):
        out |= {"required": property_order(out), "additionalProperties": False}
    return out
