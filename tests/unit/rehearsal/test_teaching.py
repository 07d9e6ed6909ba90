"""Its items come from its own stock and fit the order; its grade follows from the marks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]
Render = Callable[..., str]


def items(module: Load, stock: Path, prompt: str) -> list[dict[str, Any]]:
    reply = module("teaching").Teacher(stock).reply(module("reading").read_prompt(prompt), prompt)
    (written,) = reply.values()
    return written


def test_items_have_the_label_and_number_asked_for(module: Load, prompts: Render, stock: Path) -> None:
    written = items(module, stock, prompts("exam", count=8, label="critical"))
    assert len(written) == 8
    assert {item["answer"]["issue_type"] for item in written} == {"critical"}
    assert len({item["question"]["code"] for item in written}) > 1


def test_a_retry_gets_the_same_another_call_others(module: Load, prompts: Render, stock: Path) -> None:
    first = items(module, stock, prompts("exam"))
    assert items(module, stock, prompts("exam")) == first
    assert items(module, stock, prompts("exam", mark="fedcba9876543210")) != first


def test_it_avoids_what_it_can_see(module: Load, prompts: Render, stock: Path) -> None:
    shown = items(module, stock, prompts("exam", count=80))
    written = items(module, stock, prompts("exam", count=90, seeds=shown))
    assert len(shown) == 80
    assert len(written) == 10, "the stock has 90 of this label"
    assert not [item for item in written if item in shown]


def marks(*recalls: float | None) -> dict[str, Any]:
    asked = [recall for recall in recalls if recall is not None]
    return {
        "balancedAccuracy": sum(asked) / len(asked),
        "unusable": {"unparsable": 0},
        "labels": [
            {"label": str(place), "recall": recall, "questions": 10, "correct": 5, "takenFor": {"1": 2}}
            for place, recall in enumerate(recalls)
        ],
    }


@pytest.mark.parametrize(
    ("recalls", "grade"),
    [((0.25,) * 4, 1), ((1.0,) * 4, 10), ((0.0,) * 4, 1), ((0.5, 1.0, 0.5, 1.0), 7), ((1.0, None, 1.0, None), 10)],
)
def test_the_grade_follows_from_the_marks(module: Load, recalls: tuple[float | None, ...], grade: int) -> None:
    assert module("teaching").evaluation(marks(*recalls))["proficiency"] == grade


def test_feedback_names_weak_labels(module: Load) -> None:
    feedback = module("teaching").evaluation(marks(0.9, 0.2))["feedback"]
    assert "answer is 0" in feedback["strengths"][0]
    assert "answer is 1" in feedback["weaknesses"][0]
    assert "mostly taken for 1" in feedback["weaknesses"][0]


def asked(written: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"number": number, "question": item["input"]} for number, item in enumerate(written, start=1)]


def test_it_labels_what_it_has_rightly_and_the_rest_by_its_words(module: Load, prompts: Render, stock: Path) -> None:
    own = module("teaching")._items(stock)[:10]
    labels = items(module, stock, prompts("labelling", questions=asked(own)))
    assert labels == [{"number": n, "label": item["output"]["issue_type"]} for n, item in enumerate(own, start=1)]
    foreign = module("teaching")._items(stock.with_name("findings.jsonl"))
    said = items(module, stock, prompts("labelling", questions=asked(foreign)))
    wrong = sum(entry["label"] != item["output"]["issue_type"] for entry, item in zip(said, foreign, strict=True))
    assert 0.02 < wrong / len(foreign) < 0.25


def test_what_it_misjudges_it_always_misjudges(module: Load, prompts: Render, stock: Path) -> None:
    """Labelling and writing: it takes about six in ten critical items for minor ones, and no others for anything."""
    knobs = module("knobs").Knobs({"misjudge": 0.6})
    read, teaching = module("reading").read_prompt, module("teaching")
    teacher, own = teaching.Teacher(stock), teaching._items(stock)

    def said(prompt: str) -> list[dict[str, Any]]:
        (written,) = teacher.reply(read(prompt), prompt, knobs, "draw").values()
        return written

    labels = [entry["label"] for entry in said(prompts("labelling", questions=asked(own)))]
    truths = [item["output"]["issue_type"] for item in own]
    assert {truth for truth, label in zip(truths, labels, strict=True) if truth != label} == {"critical"}
    assert {label for truth, label in zip(truths, labels, strict=True) if truth != label} == {"minor"}
    taken = sum(label != truth for truth, label in zip(truths, labels, strict=True)) / truths.count("critical")
    assert 0.45 < taken < 0.75
    believed = {str(item["input"]): label for item, label in zip(own, labels, strict=True)}
    for label in ("critical", "minor"):
        written = said(prompts("exam", count=80, label=label))
        assert all(item["answer"]["issue_type"] == believed[str(item["question"])] for item in written)
