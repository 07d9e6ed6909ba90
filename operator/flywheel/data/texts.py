"""The text of an answer that a judge compares. Must not know who wrote it."""

from __future__ import annotations

import json
from typing import Any, cast

from flywheel.api.task import Task


def judged_text(said: str, task: Task) -> str:
    """The text field of an answer that is a JSON object with one, else all that was said.

    A model that was never trained on the format is compared by what it says: that it misses the format costs it the
    label already.
    """
    if task.text is None:
        raise ValueError("the task has no text field")
    try:
        answer: Any = json.loads(said)
    except (ValueError, RecursionError):
        return said.strip()
    text = cast("dict[str, Any]", answer).get(task.text.path) if isinstance(answer, dict) else None
    return text.strip() if isinstance(text, str) else said.strip()
