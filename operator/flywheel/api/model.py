"""Base classes and scalar types of every resource: camelCase outside, closed in spec, open in status."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict, JsonValue


class Closed(BaseModel):
    """A type whose unknown fields are an error: everything a user writes."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _no_doubles(self) -> Self:
        """The lists that list_map and list_type declare, for those who do not ask an API server."""
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            declared = cast("dict[str, Any]", extra) if isinstance(extra, dict) else {}
            if declared.get("x-kubernetes-list-type") in ("map", "set"):
                keys = cast("list[str]", declared.get("x-kubernetes-list-map-keys", []))
                _require_different(field.alias or name, cast("list[Any]", getattr(self, name) or []), keys)
        return self

    def to_json_object(self) -> dict[str, Any]:
        """The camelCase object as the API server and the workspace hold it; absent stays absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _require_different(name: str, entries: list[Any], keys: list[str]) -> None:
    seen: set[Any] = set()
    for entry in entries:
        identity = tuple(getattr(entry, key) for key in keys) if keys else entry
        if identity in seen:
            raise ValueError(f"{name} has two entries {', '.join(identity) if keys else identity!r}")
        seen.add(identity)


class Open(BaseModel):
    """A type whose unknown fields are ignored: what an older or newer operator may have written."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_json_object(self) -> dict[str, Any]:
        """The camelCase object as the API server holds it; absent stays absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def spelt(pattern: str, max_length: int) -> tuple[BeforeValidator, WithJsonSchema]:
    """A decimal that travels as a string of this pattern: floats do not survive every client (API conventions)."""

    def check(value: object) -> object:
        if isinstance(value, Decimal) or (
            isinstance(value, str) and len(value) <= max_length and re.fullmatch(pattern, value)
        ):
            return value
        raise ValueError(f"must be text that matches {pattern} in at most {max_length} characters")

    return BeforeValidator(check), WithJsonSchema({"type": "string", "pattern": pattern, "maxLength": max_length})


Share = Annotated[Decimal, Field(ge=0, le=1), *spelt(r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$", 8)]
# Neither 0 nor 1: a chance of error that a test can be made at.
Chance = Annotated[Decimal, Field(gt=0, lt=1), *spelt(r"^0\.[0-9]{0,5}[1-9][0-9]{0,5}$", 8)]
PositiveDecimal = Annotated[
    Decimal,
    Field(gt=0),
    *spelt(r"^(0\.[0-9]{0,8}[1-9][0-9]{0,8}|[1-9][0-9]{0,8}(\.[0-9]{1,9})?)([eE][-+]?[0-9]{1,2})?$", 24),
]
# How often something counts, where once is the rule.
Weight = Annotated[Decimal, Field(ge=1, le=100), *spelt(r"^([1-9][0-9]?(\.[0-9]{1,6})?|100(\.0{1,6})?)$", 10)]
# Money, as prices and budgets state it.
Amount = Annotated[Decimal, Field(ge=0), *spelt(r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?$", 16)]
# A share, an accuracy or a difference of two, as `decimal_text` writes it into a status.
DecimalText = Annotated[str, Field(max_length=16, pattern=r"^-?[0-9]{1,9}(\.[0-9]{1,6})?$")]
# What was spent of alpha.
SpentText = Annotated[str, Field(max_length=16, pattern=r"^[0-9]{1,3}(\.[0-9]{1,9})?$")]
# Of Jobs and iterations: names have room for it, and a key that is refused for years stays below.
Ordinal = Annotated[int, Field(ge=0, le=999_999_999)]
# DNS-1123 subdomain: the name of another object.
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
# One path segment that is safe in a workspace path and a label.
Word = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
# Kubernetes also takes keys that begin with a dot or a dash; as names of files such are hidden, or taken for options.
ConfigMapKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
# Relative, no empty, dot or dot-dot segment, no backslash: cannot leave the volume.
RelativePath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$",
    ),
]
# Never zero, and within the 31 bits of a pod's activeDeadlineSeconds.
Duration = Annotated[
    str,
    Field(
        pattern=r"^([1-9][0-9]{0,4}h([0-9]{1,5}m)?([0-9]{1,5}s)?|[1-9][0-9]{0,5}m([0-9]{1,5}s)?|[1-9][0-9]{0,8}s)$",
        min_length=2,
        max_length=16,
    ),
]


def duration_seconds(text: str) -> int:
    """Seconds of a duration such as 1h30m; raises ValueError for an empty one."""
    total, digits = 0, ""
    for char in text:
        if char.isdigit():
            digits += char
        else:
            total += int(digits) * {"h": 3600, "m": 60, "s": 1}[char]
            digits = ""
    if digits or total == 0:
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m or 1h30m")
    return total


def decimal_text(value: float | Decimal) -> str:
    """Four places, as status shows shares and accuracies."""
    return f"{value:.4f}"


class LocalRef(Closed):
    """A reference to an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object in the same namespace.")


class ClaimRef(Closed):
    """A PersistentVolumeClaim in the same namespace."""

    claim_name: ObjectName = Field(description="Name of a PersistentVolumeClaim in the same namespace.")


class Rule(dict[str, JsonValue]):
    """One x-kubernetes-validations entry: a CEL expression that must hold, and what to say when it does not."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule=rule, message=message)


def rules(*entries: Rule) -> JsonDict:
    """`json_schema_extra` value that carries CEL rules into the CRD."""
    return {"x-kubernetes-validations": [dict(entry) for entry in entries]}


def list_map(*keys: str) -> JsonDict:
    """`json_schema_extra` value of a list whose entries server-side apply merges by these keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def list_type(kind: Literal["set", "atomic"]) -> JsonDict:
    """`json_schema_extra` value of a list that server-side apply merges as a set or replaces whole."""
    return {"x-kubernetes-list-type": kind}


IMMUTABLE = Rule("self == oldSelf", "is immutable: create a new object instead")
