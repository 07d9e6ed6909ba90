"""Reads parts of plain API objects where anything may be absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


def mapping(item: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The object at this path; empty where there is none."""
    for name in path:
        item = cast("Mapping[str, Any]", item.get(name) or {})
    return item


def entries(item: Mapping[str, Any], *path: str) -> list[Mapping[str, Any]]:
    """The list of objects at this path; empty where there is none."""
    found = mapping(item, *path[:-1]).get(path[-1])
    return cast("list[Mapping[str, Any]]", found or [])


def text(item: Mapping[str, Any], *path: str) -> str:
    """The value at this path as text; empty where there is none."""
    found = mapping(item, *path[:-1]).get(path[-1])
    return "" if found is None else str(found)
