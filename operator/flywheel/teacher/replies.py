"""Reads a reply by a ladder: strict JSON, the last JSON block, item by item, nothing. Reasoning before it is left out.

Any text gives objects or a counted failure. Must not know schemas, nor ask again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from flywheel.teacher.ledger import FILTERED, REFUSAL, Reply

# How a reply was read. `repaired` is given by the writer, where a second call put a reply that was `none` into JSON.
Rung = Literal["strict", "block", "items", "repaired", "none", "cut", "empty", "refused", "filtered"]
Fields = dict[str, Any]
_FENCE = re.compile(r"```[A-Za-z]*\s*\n(.*?)```", re.DOTALL)
_DECODER = json.JSONDecoder()
_MOST_FAILURES = 1000  # places that look like JSON and are none; a reply of brackets must not cost minutes


@dataclass(frozen=True)
class Read:
    """What a reply held. `cut`: it ended at the length limit, only whole items of it are used."""

    items: list[Fields]
    rung: Rung


def read_items(reply: Reply, name: str, fields: Sequence[str]) -> Read:
    """The objects of the list called `name`, or objects that have all of `fields`."""
    text = without_reasoning(reply.text)
    if (unusable := _unusable(reply, text)) is not None:
        return Read([], unusable)
    if reply.finish_reason == "length":
        return Read(_scattered(text, fields), "cut")
    whole = _listed(_parsed(text), name)
    if whole is not None:
        return Read(whole, "strict")
    for block in _blocks(text):
        found = _listed(block, name)
        if found is None and isinstance(block, list):
            found = [item for item in _objects(cast("list[Any]", block)) if _has(item, fields)]
        if found:
            return Read(found, "block")
    scattered = _scattered(text, fields)
    return Read(scattered, "items" if scattered else "none")


def read_object(reply: Reply, fields: Sequence[str]) -> Read:
    """The one object that has all of `fields`, as a list of one, or an empty list."""
    text = without_reasoning(reply.text)
    if (unusable := _unusable(reply, text)) is not None:
        return Read([], unusable)
    if reply.finish_reason == "length":
        return Read([], "cut")
    whole = _parsed(text)
    if _has(whole, fields):
        return Read([whole], "strict")
    block = next((block for block in _blocks(text) if _has(block, fields)), None)
    return Read([], "none") if block is None else Read([block], "block")


def without_reasoning(text: str) -> str:
    """What follows the reasoning; some chat templates open it themselves, so that only its end is in the reply."""
    text = text.strip()
    if text.startswith(("{", "[")):
        return text
    thought, end, said = text.partition("</think>")
    if end:
        return said.strip()
    return "" if thought.startswith("<think>") else text


def _unusable(reply: Reply, text: str) -> Rung | None:
    if reply.finish_reason == FILTERED:
        return "filtered"
    if reply.finish_reason == REFUSAL:
        return "refused"
    return "empty" if not text and reply.finish_reason != "length" else None


def _listed(value: Any, name: str) -> list[Fields] | None:
    held = cast("Fields", value).get(name) if isinstance(value, dict) else None
    return _objects(cast("list[Any]", held)) if isinstance(held, list) else None


def _objects(values: list[Any]) -> list[Fields]:
    # What is no object stays as an empty one, so that it is counted when items are checked.
    return [cast("Fields", value) if isinstance(value, dict) else {} for value in values]


def _has(value: Any, fields: Sequence[str]) -> bool:
    return isinstance(value, dict) and all(field in value for field in fields)


def _blocks(text: str) -> Iterator[Any]:
    """JSON values in the text, the last first: those in code fences, then any."""
    for fenced in reversed(_FENCE.findall(text)):
        value = _parsed(fenced.strip())
        if value is not None:
            yield value
    yield from reversed(list(_values(text, r"[{\[]", lambda _: True)))


def _scattered(text: str, fields: Sequence[str]) -> list[Fields]:
    return list(_values(text, r"\{", lambda value: _has(value, fields)))


def _values(text: str, opener: str, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """JSON values that begin at an opener and are wanted; none of them within another."""
    end = failures = 0
    for match in re.finditer(opener, text):
        if match.start() < end:
            continue
        try:
            value, stop = _DECODER.raw_decode(text, match.start())
        except ValueError:
            failures += 1
            if failures == _MOST_FAILURES:
                return
        except RecursionError:  # deeper than any item, and as deep at the next opener
            return
        else:
            if wanted(value):
                yield value
                end = stop


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
