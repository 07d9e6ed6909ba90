"""Reads a source line by line: a good line becomes an Item, any other a counted Reject."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from flywheel.api.item import Item
from flywheel.api.request import Source
from flywheel.data.formats import NoPair, read_pair
from flywheel.data.normalise import item_id
from flywheel.data.schemas import TaskSchemas
from flywheel.workspace.digest import canonical_json

LONGEST_LINE = 1 << 20  # bytes; a longer one is no item of any student's, and is never held in memory


@dataclass(frozen=True)
class Reject:
    """A line that was left out. `broken` counts against the source's maxRejected."""

    source: str
    line: int
    reason: str
    path: str
    message: str
    broken: bool = True

    def to_json_object(self) -> dict[str, Any]:
        """The line of rejected.jsonl."""
        return {key: getattr(self, key) for key in ("source", "line", "reason", "path", "message")}


@dataclass(frozen=True)
class Placed:
    """An item and the line that it came from."""

    line: int
    item: Item

    def left_out(self, reason: str, message: str) -> Reject:
        """The reject of an item that is good in itself: it counts against nobody."""
        return Reject(self.item.source, self.line, reason, "input", message, broken=False)


def lines_of(stream: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """The lines of a file; of one that is too long only the beginning, which is too long as well."""
    while line := stream.readline(longest + 1):
        yield line
        while len(line) > longest and not line.endswith(b"\n"):
            line = stream.readline(longest + 1)


def read_source(source: Source, lines: Iterable[bytes], schemas: TaskSchemas) -> Iterator[Placed | Reject]:
    """Items and rejects of a source, in order; blank lines are neither."""
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            yield _read_line(source, number, raw, schemas)
        except RecursionError:
            yield Reject(source.name, number, "NotJson", "", "is nested too deeply")


def _read_line(source: Source, number: int, raw: bytes, schemas: TaskSchemas) -> Placed | Reject:
    def reject(reason: str, path: str, message: str) -> Reject:
        return Reject(source.name, number, reason, path, message)

    if len(raw) > LONGEST_LINE:
        return reject("LineTooLong", "", f"has more than {LONGEST_LINE} bytes")
    try:
        # Editors begin a file with a mark of its encoding.
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        return reject("NotUtf8", "", f"is not UTF-8 from byte {error.start}")
    try:
        value: Any = json.loads(text)
        canonical_json(value)  # NaN and half a surrogate pair parse, and could never be written again
    except ValueError:
        return reject("NotJson", "", "is not one JSON value")
    if not isinstance(value, dict):
        return reject("NotJson", "", "is not a JSON object")
    fields = cast("dict[str, Any]", value)
    group = fields.get(source.group)
    if isinstance(group, bool) or not isinstance(group, str | int) or not str(group).strip():
        return reject("NoGroup", source.group, "must be a text or whole number that names the item's group")
    pair = read_pair(fields, source.format, schemas.task)
    if isinstance(pair, NoPair):
        return Reject(source.name, number, pair.reason, pair.path, pair.message, pair.broken)
    fault = schemas.fault(pair.question, pair.answer)
    if fault is not None:
        return reject(fault.kind, fault.path, fault.message)
    item = Item(
        id=item_id(pair.question, pair.answer),
        input=pair.question,
        output=pair.answer,
        group=str(group).strip(),
        source=source.name,
        truth=source.truth,
    )
    return Placed(number, item)
