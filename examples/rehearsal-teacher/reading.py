"""Reads a rendered prompt, as a person would: what is wanted, for which label, how many, and the data in it.

Knows the words of the prompts and nothing of the product that sends them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Purpose = Literal["preflight", "exam", "dataset", "evaluation", "repair", "labels", "judge", "answer"]
_BLOCK = re.compile(r"^BEGIN DATA (\S+) (\S+)\n(.*?)\nEND DATA \1 \2$", re.DOTALL | re.MULTILINE)
_WANTED = re.compile(r'^Write exactly (\d+) new .*? has "([^"]+)" = ("(?:[^"\\]|\\.)*")', re.MULTILINE)
_NOTHING = re.compile(r"^This is a test of the connection\. Write no questions\.", re.MULTILINE)
_LABELS = re.compile(r'^Say of every question which "([^"]+)" its right answer has', re.MULTILINE)
_REPLY = re.compile(r'^Reply with one JSON object and nothing else:\n\{"(\w+)":', re.MULTILINE)


class UnreadableError(ValueError):
    """A prompt that asks for nothing this teacher can do."""


@dataclass(frozen=True)
class Assignment:
    """What a prompt asks for."""

    purpose: Purpose
    data: dict[str, Any]
    label_path: str = ""
    label: str = ""
    count: int = 0


def read_prompt(text: str) -> Assignment:
    """The assignment in a prompt; raises UnreadableError."""
    data = {name: json.loads(body) for name, _, body in _BLOCK.findall(text)}
    # Data may say anything, but as JSON it never begins a line: orders do.
    reply = _REPLY.search(text)
    wanted = _WANTED.search(text)
    if reply is not None and reply[1] == "proficiency" and "figures" in data:
        return Assignment("evaluation", data)
    if reply is not None and {"answer-A", "answer-B"} <= data.keys():
        return Assignment("judge", data)
    if reply is not None and wanted is None and {"question", "answer-schema"} <= data.keys():
        return Assignment("answer", data)
    if reply is not None and isinstance(data.get("broken"), str):
        return Assignment("repair", data)
    if reply is not None and wanted is not None and reply[1] in ("exam", "dataset"):
        purpose: Purpose = "exam" if reply[1] == "exam" else "dataset"
        return Assignment(purpose, data, wanted[2], json.loads(wanted[3]), int(wanted[1]))
    if reply is not None and _NOTHING.search(text) and not data:
        return Assignment("preflight", data)
    asked = _LABELS.search(text)
    if reply is not None and asked is not None and reply[1] == "labels" and "questions" in data:
        return Assignment("labels", data, asked[1])
    raise UnreadableError("the prompt asks for nothing that this teacher can do")


def texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from texts(entry)
