"""What the stand-in teacher says: items of its own file, and a grade computed from the marks in the prompt.

It knows one prompt at a time and teacher.jsonl; the same prompt gets the same reply.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from reading import Assignment, texts

_GOOD, _WEAK = 0.8, 0.7


class Teacher:
    """A teacher with a fixed stock of items."""

    def __init__(self, stock: Path) -> None:
        with stock.open(encoding="utf-8") as lines:
            self._items: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
        if not self._items:
            raise ValueError(f"{stock} holds no items: the rehearsal teacher has nothing to teach")

    @property
    def items(self) -> int:
        """Size of the stock."""
        return len(self._items)

    def reply(self, assignment: Assignment, prompt: str) -> dict[str, Any]:
        """The JSON object that the prompt asks for."""
        if assignment.purpose == "evaluation":
            return evaluation(assignment.data["figures"])
        return {assignment.purpose: self._choose(assignment, prompt)}

    def _choose(self, assignment: Assignment, prompt: str) -> list[dict[str, Any]]:
        seen = set(texts(assignment.data))
        fitting = [
            item
            for item in self._items
            if item["output"].get(assignment.label_path) == assignment.label
            and not all(text in seen for text in texts(item["input"]))
        ]
        draw = random.Random(hashlib.sha256(prompt.encode()).digest())  # noqa: S311 - a choice, not a secret
        chosen = draw.sample(fitting, min(assignment.count, len(fitting)))
        return [{"question": item["input"], "answer": item["output"]} for item in chosen]


def evaluation(figures: dict[str, Any]) -> dict[str, Any]:
    """Grade and feedback from the marks: 1 at no better than guessing, 10 at no mistakes."""
    labels = [entry for entry in figures["labels"] if entry["recall"] is not None]
    chance = 1 / len(labels)
    above = max(0.0, (figures["balancedAccuracy"] - chance) / (1 - chance)) if len(labels) > 1 else 0.0
    strengths = [
        f"Questions whose answer is {entry['label']} are mostly right ({entry['correct']} of {entry['questions']})."
        for entry in labels
        if entry["recall"] >= _GOOD
    ]
    weaknesses = [_weakness(entry) for entry in labels if entry["recall"] < _WEAK]
    unusable = sum(figures["unusable"].values())
    if unusable:
        weaknesses.append(f"{unusable} answers could not be read as a label.")
    return {
        "proficiency": 1 + round(9 * above),
        "feedback": {"strengths": strengths[:6], "weaknesses": weaknesses[:6]},
    }


def _weakness(entry: dict[str, Any]) -> str:
    text = f"Of {entry['questions']} questions whose answer is {entry['label']}, {entry['correct']} are right"
    if not entry["takenFor"]:
        return text + "."
    mostly = max(entry["takenFor"], key=lambda label: entry["takenFor"][label])
    return f"{text}; they are mostly taken for {mostly} ({entry['takenFor'][mostly]} times)."
