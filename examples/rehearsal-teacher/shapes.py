"""response_format of a request, checked as a real endpoint does: a strict schema that is not closed is refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

_NOT_STRICT = {"allOf", "not", "if", "then", "else", "patternProperties", "dependentSchemas"}


class JsonSchema(BaseModel):
    """A named schema."""

    name: str = Field(pattern="^[A-Za-z0-9_-]{1,64}$")
    strict: bool = False
    document: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """What a reply shall look like. This teacher's replies are such objects anyway."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def fault(self) -> str | None:
        """What is wrong with it, or None."""
        if self.type != "json_schema":
            return None
        if self.json_schema is None:
            return "json_schema is missing"
        return _not_strict(self.json_schema.document, "schema") if self.json_schema.strict else None


def _not_strict(schema: Any, path: str) -> str | None:
    if not isinstance(schema, dict):
        return None
    if extra := sorted(_NOT_STRICT & set(schema)):
        return f"{path}: {extra[0]} is not permitted"
    parts = {**schema.get("properties", {}), "items": schema.get("items")}
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            return f"{path}: additionalProperties must be false"
        if set(schema.get("required", [])) != set(schema.get("properties", {})):
            return f"{path}: required must name every property"
    return next((fault for name, part in parts.items() if (fault := _not_strict(part, f"{path}.{name}"))), None)
