"""Resources made from their schemas: legal ones, and the same with something wrong. Knows the dialect of CRDs only."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Schema = dict[str, Any]
Path = tuple[str | int, ...]
OPEN, INT_OR_STRING = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"
_FEW = 3
_DEEPEST = 25_000
_DROP = object()
_WRONG_TYPES: list[Any] = [None, True, 0, -1, 0.5, 3.0, "", "text", "5", "true", [], [{}], ["x"], {}, {"x": 1}]
_NUMBERS = [-1, 0, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 1e308, -0.0, 1.5, 1e3]
_TEXTS = [
    "", " ", "\n", "a\n", "\x00", "a\x00b", "-", ".", "..", "../x", "a..b", "a/../b", "/a", "a//b", "a:b", "x" * 64,
    "x" * 254, "x" * 100_000, "😀" * 63, "é", "e\u0301", "٣", "１２", "\u2028", "\u00a0", "\u202etxet", "\ufffd", "A",
    "${HOME}", "$(HOME)", "{{ 7 * 7 }}", "NaN", "1e400", "-0", "0x10", "1_000", "null", "~", "yes", "2026-11-21",
]  # fmt: skip
_NAMES = ["a", "0", "a.b", "1.2.3", "a-b.c--d", "x" * 63, f"{'y' * 29}.{'z' * 223}"]
_LABEL_KEYS = ["disk", "flywheel.dev/gpu", "not a label", "-x", "a/b/c", "", "k" * 64, "k" * 400]


def _once(make: Callable[[Schema], SearchStrategy[Any]]) -> Callable[[Schema], SearchStrategy[Any]]:
    """Strategies are dear to make: once for each part of a schema, which must live as long as the process."""
    made: dict[int, SearchStrategy[Any]] = {}

    def found(schema: Schema) -> SearchStrategy[Any]:
        if id(schema) not in made:
            made[id(schema)] = make(schema)
        return made[id(schema)]

    return found


def _json() -> SearchStrategy[Any]:
    """Anything that JSON holds and that Go's decoder reads."""
    leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e300, 1e300) | st.text()
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def nested(levels: int) -> Schema:
    """An object in an object in an object."""
    found: Schema = {}
    for _ in range(levels):
        found = {"properties": found}
    return found


def _text(schema: Schema) -> SearchStrategy[str]:
    low, high = schema.get("minLength", 0), schema.get("maxLength", 1 << 20)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True).filter(lambda text: low <= len(text) <= high)
    return st.text(min_size=low, max_size=min(high, 20)) | st.sampled_from(["x" * high, "😀" * high])


@_once
def legal(schema: Schema) -> SearchStrategy[Any]:
    """Values that the schema takes; rules across fields may still refuse them."""
    if schema.get(INT_OR_STRING):
        return st.integers(0, 2**63 - 1) | _text(schema)
    match schema.get("type"):
        case "string":
            return _text(schema)
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "boolean":
            return st.booleans()
        case "array":
            return _list(schema)
        case _:
            return _object(schema)


def _list(schema: Schema) -> SearchStrategy[list[Any]]:
    low, high = schema.get("minItems", 0), schema.get("maxItems", _FEW)
    keys = schema.get("x-kubernetes-list-map-keys", [])
    different = None if schema.get("x-kubernetes-list-type") == "atomic" else _identity(keys)
    return st.lists(legal(schema["items"]), min_size=low, max_size=min(high, low + _FEW), unique_by=different)


def _identity(keys: list[str]) -> Any:
    return lambda entry: tuple(entry[key] for key in keys) if keys else entry


def _object(schema: Schema) -> SearchStrategy[dict[str, Any]]:
    if schema.get(OPEN):
        return st.dictionaries(st.text(), _json(), max_size=_FEW)
    if "properties" not in schema:
        keys = st.sampled_from(_LABEL_KEYS) | st.text(max_size=10)
        return st.dictionaries(keys, legal(schema["additionalProperties"]), max_size=_FEW)
    return _fields(schema)


@st.composite
def _fields(draw: st.DrawFn, schema: Schema) -> dict[str, Any]:
    """What must be there, and a few of the others: a case with everything in it is slow to make and says no more."""
    required = schema.get("required", [])
    optional = [name for name in schema["properties"] if name not in required]
    chosen = draw(st.lists(st.sampled_from(optional), max_size=2, unique=True)) if optional else []
    return {name: draw(legal(schema["properties"][name])) for name in [*required, *chosen]}


@dataclass(frozen=True)
class _Place:
    path: Path
    schema: Schema


def _places(schema: Schema, value: Any, path: Path) -> Iterator[_Place]:
    """Every part of the value, and every part that could be there."""
    yield _Place(path, schema)
    if isinstance(value, dict):
        for name, entry in schema.get("properties", {}).items():
            yield from _places(entry, value.get(name), (*path, name))
        for name in value if "additionalProperties" in schema else ():
            yield from _places(schema["additionalProperties"], value[name], (*path, name))
    if isinstance(value, list) and "items" in schema:
        for number, entry in enumerate(value):
            yield from _places(schema["items"], entry, (*path, number))


@_once
def _wrongs(schema: Schema) -> SearchStrategy[Any]:
    """Values that a place of this schema should perhaps not have; some of them are legal after all."""
    options: list[SearchStrategy[Any]] = [st.sampled_from(_WRONG_TYPES), st.just(_DROP)]
    if schema.get("type") == "integer" or schema.get(INT_OR_STRING):
        bounds = [schema[name] + by for name in ("minimum", "maximum") if name in schema for by in (-1, 0, 1)]
        options.append(st.sampled_from([*bounds, *_NUMBERS]))
    if schema.get("type") == "string" or schema.get(INT_OR_STRING):
        high = schema.get("maxLength", 8)
        edges = [char * (high + more) for char in "a0😀" for more in (0, 1)]
        options += [st.sampled_from(_TEXTS), st.sampled_from(edges), st.text(max_size=40)]
        options.append(st.sampled_from([entry.upper() for entry in schema.get("enum", ["text"])]))
    if schema.get("type") == "array":
        options += [
            legal(schema["items"]).map(lambda entry, by=by: [entry] * by) for by in (1, 2, schema["maxItems"] + 1)
        ]
    if schema.get("type") == "object":
        options.append(legal(schema).map(lambda value: value | {"surprise": 1}))
        options.append(st.just({f"key-{number}": "1" for number in range(schema.get("maxProperties", 40) + 1)}))
    if schema.get(OPEN):
        options += [
            st.sampled_from([60, 70, 300, 1200, 9000]).map(nested),
            st.just({"enum": ["x" * 200] * 700}),
            _json(),
        ]
    return st.one_of(options)


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))  # copy.deepcopy takes two frames a level


def _put(value: Any, path: Path, wrong: Any) -> None:
    """Set it there; where two changes meet and the place is gone, leave it."""
    *parents, last = path
    for part in parents:
        if isinstance(value, dict) and part not in value and isinstance(part, str):
            value[part] = {}
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(value, dict):
        value.pop(last, None)
        if wrong is not _DROP:
            value[last] = _copied(wrong)
    elif isinstance(value, list) and isinstance(last, int) and last < len(value):
        value[last : last + 1] = [] if wrong is _DROP else [_copied(wrong)]


@dataclass(frozen=True)
class Case:
    """A resource without its kind, as JSON; short where it is shown, for some are long and deep."""

    text: str

    @property
    def value(self) -> dict[str, Any]:
        """The resource."""
        return json.loads(self.text)

    def __repr__(self) -> str:
        return self.text if len(self.text) < 3000 else f"{self.text[:3000]} ... {len(self.text)} characters"


@st.composite
def cases(
    draw: st.DrawFn, schema: Schema, settle: Callable[[Schema], None], contradictions: list[dict[str, Any]]
) -> Case:
    """A legal spec (`settle` makes its fields fit each other), then a contradiction or two places changed."""
    sys.setrecursionlimit(_DEEPEST)  # hypothesis sets it to 2000 more than the caller's depth
    spec = draw(legal(schema))
    settle(spec)
    found: dict[str, Any] = {"metadata": {"name": draw(st.sampled_from(_NAMES))}, "spec": spec}
    if draw(st.integers(0, 4)) == 4:  # hypothesis prefers small numbers, and then the first of a list
        for path, value in draw(st.sampled_from(contradictions)).items():
            _put(spec, tuple(path.split(".")), value)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(list(_places(schema, found.get("spec"), ("spec",)))))
        _put(found, place.path, draw(_wrongs(place.schema)))
    return Case(json.dumps(found))
