"""Checks items against a task's JSON Schemas (Draft 2020-12) and says what is wrong by path and rule.

Nothing is ever fetched: `$ref` may only point into the document. Messages quote the schema, never the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from flywheel.api.task import Task

_EXPECTED = 120  # characters of the schema's side of a message


class BadSchemaError(Exception):
    """A schema that cannot be used; the message says where and what to do."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with one item. `kind` is SchemaMismatch or UnknownLabel."""

    kind: str
    path: str
    message: str


class TaskSchemas:
    """The two schemas of a task, ready to check items. Raises BadSchemaError."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._label, self._text = task.label, task.text
        self._sides = {
            "input": _validator("task.inputSchema", task.input_schema),
            "output": _validator("task.outputSchema", task.output_schema),
        }

    def fault(self, question: Any, answer: Any) -> Fault | None:
        """The first fault of an item, or None for a good one."""
        for side, value in (("input", question), ("output", answer)):
            if not isinstance(value, dict):
                return Fault("SchemaMismatch", side, "is not an object")
            found = _first_error(self._sides[side], value)
            if found is not None:
                path, message = found
                return Fault("SchemaMismatch", ".".join([side, *path]), message)
        label = cast("dict[str, Any]", answer).get(self._label.path)
        if label not in self._label.order:
            return Fault("UnknownLabel", f"output.{self._label.path}", f"is not one of {list(self._label.order)}")
        if self._text is not None:
            text = cast("dict[str, Any]", answer).get(self._text.path)
            if not isinstance(text, str) or not text.strip():
                return Fault("SchemaMismatch", f"output.{self._text.path}", "is no text, and task.text names it")
        return None


def _validator(where: str, schema: dict[str, Any]) -> Draft202012Validator:
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        detail = error.message[:200] if isinstance(error, SchemaError) else "it is nested too deeply"
        raise BadSchemaError(f"{where} is no JSON Schema (Draft 2020-12): {detail}") from error
    # An empty registry: what is not in the document does not exist.
    registry: Registry[Any] = Registry()
    resolver = registry.resolver_with_root(Resource.from_contents(schema, default_specification=DRAFT202012))
    for path, ref in _references(schema):
        if not ref.startswith("#"):
            raise BadSchemaError(f"{where}{path} points outside the schema: copy what it names under $defs")
        try:
            resolver.lookup(ref)
        except Unresolvable as error:
            raise BadSchemaError(f"{where}{path} is {ref[:80]!r}, which is not in the schema") from error
    return Draft202012Validator(schema, registry=registry)


def _references(schema: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(schema, dict):
        for key, value in cast("dict[str, Any]", schema).items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield f"{path}.{key}", value
            # Another base address would turn "#/..." into a reference to somewhere else.
            elif key == "$id" and isinstance(value, str):
                raise BadSchemaError(f"the schema's {path}.$id gives it another address: leave $id out")
            else:
                yield from _references(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(cast("list[Any]", schema)):
            yield from _references(value, f"{path}[{index}]")


def _first_error(validator: Draft202012Validator, value: Any) -> tuple[list[str], str] | None:
    # jsonschema's types leave its errors partly unknown.
    errors = cast("Iterator[ValidationError]", cast(Any, validator).iter_errors(value))
    try:
        error = next(errors, None)
    except RecursionError:
        return [], "is nested too deeply, or the schema refers to itself without end"
    if error is None:
        return None
    rule = str(cast(Any, error).validator)
    expected = json.dumps(cast(Any, error).validator_value, ensure_ascii=False, default=str)
    path = [str(part) for part in cast(Any, error).absolute_path]
    return path, f"breaks the schema's rule {rule}: {expected[:_EXPECTED]}"
