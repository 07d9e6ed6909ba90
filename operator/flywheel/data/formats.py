"""Question and answer out of a line of each format. What is served is never an answer; a corrected label is.

Texts become fields: a JSON object is the question or answer itself; other text is the only text field of the task's
question, or the label. Must not know files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from flywheel.api.request import SourceFormat
from flywheel.api.task import Task

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """A question and its answer, to be checked against the task's schemas."""

    question: Any
    answer: Any


@dataclass(frozen=True)
class NoPair:
    """Why a line has none. `broken`: whether that is the line's fault."""

    reason: str
    path: str
    message: str
    broken: bool = True


def read_pair(line: Fields, format: SourceFormat, task: Task) -> Pair | NoPair:
    """Question and answer of a line."""
    match format:
        case "Jsonl":
            return Pair(line.get("input"), line.get("output"))
        case "Alpaca":
            asked = line.get("input") or line.get("instruction")
            return Pair(_question(asked, task), _answer(line.get("output"), task))
        case "Chat":
            messages = line.get("messages")
            asked, said = _last(messages, "user"), _last(messages, "assistant")
            if asked is None or said is None:
                return NoPair("SchemaMismatch", "messages", "needs a message of the user and one of the assistant")
            return Pair(_question(asked, task), _answer(said, task))
        case "RequestLog":
            return _logged(line, task)


def _logged(line: Fields, task: Task) -> Pair | NoPair:
    """An OpenAI request with feedback: accepted and rejected say nothing of the right label."""
    feedback, request = line.get("feedback"), line.get("request")
    verdict = cast("Fields", feedback).get("verdict") if isinstance(feedback, Mapping) else None
    if verdict is None:
        return NoPair("NoFeedback", "feedback", "nobody said anything about the answer", broken=False)
    if verdict == "accepted":
        return NoPair("FeedbackAccepted", "feedback.verdict", "accepted is no label", broken=False)
    if verdict == "rejected":
        return NoPair("FeedbackRejected", "feedback.verdict", "rejected is no label", broken=False)
    if verdict != "corrected":
        return NoPair("SchemaMismatch", "feedback.verdict", "must be accepted, rejected or corrected")
    asked = _last(cast("Fields", request).get("messages") if isinstance(request, Mapping) else None, "user")
    if asked is None:
        return NoPair("SchemaMismatch", "request.messages", "needs a message of the user")
    return Pair(_question(asked, task), _answer(cast("Fields", feedback).get("corrected"), task))


def _last(messages: Any, role: str) -> Any:
    """Content of the last message of a role, or None."""
    entries = cast("list[Any]", messages) if isinstance(messages, list) else []
    said = [cast("Fields", entry) for entry in entries if isinstance(entry, Mapping)]
    return next((entry.get("content") for entry in reversed(said) if entry.get("role") == role), None)


def _question(text: Any, task: Task) -> Any:
    found = _object(text)
    properties = task.input_schema.get("properties")
    names = list(cast("Fields", properties)) if isinstance(properties, Mapping) else []
    return {names[0]: text} if found is None and len(names) == 1 else found


def _answer(text: Any, task: Task) -> Any:
    found = _object(text)
    return {task.label.path: text.strip()} if found is None and isinstance(text, str) else found


def _object(text: Any) -> Any:
    """The object that the text is as JSON, an object as it is, None for any other."""
    if isinstance(text, str):
        try:
            text = json.loads(text)
        except ValueError:
            return None
    return cast("Any", text) if isinstance(text, dict) else None
