"""What the stand-in teacher says: items of its own file, and a grade computed from the marks in the prompt.

It knows one prompt at a time and teacher.jsonl; the same prompt gets the same reply.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from judging import alike, verdict
from knobs import EASIEST, MISJUDGED, ORDER, Knobs
from labelling import Labeller, key
from reading import Assignment, texts

_GOOD, _WEAK = 0.8, 0.7


class Teacher:
    """A teacher with a fixed stock of items."""

    def __init__(self, stock: Path, known: Path | None = None) -> None:
        """`known`: further items whose labels it knows and that it never hands out, for experiments."""
        self._items = _items(stock)
        if not self._items:
            raise ValueError(f"{stock} holds no items: the rehearsal teacher has nothing to teach")
        self._labeller = Labeller(self._items, [] if known is None else _items(known))

    @property
    def items(self) -> int:
        """Size of the stock."""
        return len(self._items)

    def reply(self, assignment: Assignment, prompt: str, knobs: Knobs | None = None, draw: str = "") -> dict[str, Any]:
        """The JSON object that the prompt asks for, spoiled as the knobs say."""
        knobs = knobs or Knobs()
        if assignment.purpose == "preflight":
            return {"exam": []}
        if assignment.purpose == "repair":
            return mended(assignment.data["broken"])
        if assignment.purpose == "evaluation":
            grade = evaluation(assignment.data["figures"])
            if knobs.turned("flatter", draw):
                grade = {"proficiency": 10, "feedback": {"strengths": ["It can do everything."], "weaknesses": []}}
            return grade
        if assignment.purpose == "labels":
            return {"labels": self._labels(assignment, knobs)}
        if assignment.purpose == "judge":
            return verdict(assignment.data, knobs, draw)
        if assignment.purpose == "answer":
            asked = " ".join(texts(assignment.data["question"]))
            return max(self._items, key=lambda item: alike(asked, " ".join(texts(item["input"]))))["output"]
        items = self._choose(assignment, prompt, knobs, draw)
        if knobs.turned("skew", draw):
            items = items[:1]
        for place, item in enumerate(items[1:], start=1):
            if knobs.turned("duplicates", f"{draw} {place}"):
                items[place] = items[0]
            elif knobs.turned("injected", f"{draw} {place}"):
                items[place] = {**item, "question": {key: f"{ORDER} {text}" for key, text in item["question"].items()}}
        seeds = assignment.data.get("seeds") or []
        if seeds and knobs.turned("leak", draw):
            items = [*seeds, *items][: assignment.count]
        return {assignment.purpose: items}

    def _labels(self, assignment: Assignment, knobs: Knobs) -> list[dict[str, Any]]:
        return [
            {"number": entry["number"], "label": self._believed(entry["question"], assignment.label_path, knobs)}
            for entry in assignment.data["questions"]
        ]

    def _believed(self, question: Any, path: str, knobs: Knobs) -> str:
        """The label that it gives a question, the same whenever it sees it."""
        label, (taken, given) = self._labeller.label(question, path), MISJUDGED
        return given if label == taken and knobs.turned("misjudge", key(question)) else label

    def _choose(self, assignment: Assignment, prompt: str, knobs: Knobs, request: str) -> list[dict[str, Any]]:
        seen, path = set(texts(assignment.data)), assignment.label_path
        free = [item for item in self._items if not all(text in seen for text in texts(item["input"]))]
        labels = list(dict.fromkeys(item["output"].get(path) for item in self._items))
        draw = random.Random(hashlib.sha256(prompt.encode()).digest())  # noqa: S311 - a choice, not a secret
        believed = {id(item): self._believed(item["input"], path, knobs) for item in free} if knobs.misjudging else {}
        fitting = [item for item in free if assignment.label in (item["output"].get(path), believed.get(id(item)))]
        if assignment.purpose == "exam" and knobs.turned("easy", request):
            fitting.sort(key=lambda item: -self._labeller.ease(item["input"], path, assignment.label))
            fitting = fitting[:EASIEST]
        chosen = draw.sample(fitting, min(assignment.count, len(fitting)))
        for place in range(len(chosen)):
            other = None
            if knobs.turned("wrongLabel", f"{request} {place}"):
                other = draw.choice([label for label in labels if label != assignment.label])
            elif knobs.turned("wrongOrder", f"{request} {place}"):
                other = labels[labels.index(assignment.label) - 1]
            if other is not None:
                chosen[place] = draw.choice([item for item in free if item["output"].get(path) == other])
        return [
            {
                "question": item["input"],
                "answer": {**item["output"], path: believed.get(id(item), assignment.label)},
            }
            for item in chosen
        ]


def _items(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def break_json(text: str) -> str:
    """The same words without the quotation marks of the keys: no program reads that."""
    return text.replace('"question":', "question:").replace('"answer":', "answer:")


def mended(broken: str) -> dict[str, Any]:
    """What `break_json` broke; an empty object where it was something else."""
    try:
        value = json.loads(broken.replace("question:", '"question":').replace("answer:", '"answer":'))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


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
