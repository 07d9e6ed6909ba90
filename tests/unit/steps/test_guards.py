"""What guards against the teacher does not show it what it is measured by: anchors, labels, figures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flywheel.data.trusted import BLIND_ITEMS
from flywheel.teacher import client

ITERATION = "runs/review/severity-1/iter-1"
LABELS = ["critical", "major", "minor", "trivial"]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every prompt that a teacher is asked."""
    prompts: list[str] = []
    complete = client.TeacherClient.complete

    def listening(self: client.TeacherClient, text: str) -> Any:
        prompts.append(text)
        return complete(self, text)

    monkeypatch.setattr(client.TeacherClient, "complete", listening)
    return prompts


def iteration(bench: Any, prepared: Any, questions: int = 40) -> tuple[Any, Any]:
    inputs = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    parameters = {"teacher": bench.teacher, "questions": questions}
    sat = bench.run("exam", f"{ITERATION}/exam/a1", parameters, inputs=inputs)
    assert sat.code == 0, sat.log
    inputs = [
        prepared.entry("curriculum", "task.json", "signatures.json", "pools/curriculum"),
        sat.entry("exam", "exam.jsonl"),
        bench.answered(bench.lines(sat, "exam.jsonl")),
    ]
    parameters = {"teacher": bench.teacher, "examples": 40, "replay": "0.25"}
    made = bench.run("evaluate", f"{ITERATION}/evaluate/a1", parameters, inputs=inputs)
    assert made.code == 0, made.log
    return sat, made


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def test_no_prompt_holds_an_anchor_or_a_held_out_item_and_no_label_stands_beside_what_is_labelled(
    taught: Any, heard: list[str]
) -> None:
    prepared = taught.prepare(leakage={"fields": ["code"]})
    sat, _ = iteration(taught, prepared)
    anchors = [line["question"] for line in taught.lines(sat, "exam.jsonl") if line["origin"] == "anchor"]
    held_out = [
        line["input"]
        for pool in ("validation", "test", "probe")
        for line in taught.lines(prepared, f"pools/{pool}/items.jsonl")
    ]
    asked, labelling = "\n".join(heard), [text for text in heard if "You label questions" in text]
    assert len(anchors) == 12 and len(held_out) > 50 and len(labelling) >= 10
    assert not [item for item in (*anchors, *held_out) if quoted(item["code"]) in asked]
    assert not [text for text in labelling if '"answer"' in text or '"issue_type": "' in text]
    # The truth of a blind item is in no prompt in which the item is: only its question.
    exam_pool = [quoted(line["input"]["code"]) for line in taught.lines(prepared, "pools/exam/items.jsonl")]
    assert sum(any(code in text for text in labelling) for code in exam_pool) > 25


def test_figures_of_the_guards_reach_no_prompt(taught: Any, heard: list[str]) -> None:
    _, made = iteration(taught, taught.prepare())
    gap = taught.workspace.read_json(f"{made.result.path}/marks.json")["inflationGap"]
    assert gap["low"] < gap["value"] < gap["high"] and gap["level"] == 0.95
    asked = "\n".join(heard)
    assert "inflation" not in asked and str(gap["high"]) not in asked
    assert '"origin"' not in asked and "anchor" not in asked.lower()


def test_trusted_items_are_people_s_and_rules_only(taught: Any) -> None:
    lines = [json.loads(line) for line in taught.findings.read_text().splitlines()]
    taught.findings.write_text("".join(json.dumps(line) + "\n" for line in lines[:200]))
    (taught.root / "datasets/guesses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[200:]))
    sources = [
        {"name": "findings", "truth": "Rule", "group": "file", "path": "datasets/findings.jsonl"},
        {"name": "guesses", "truth": "Teacher", "group": "file", "path": "datasets/guesses.jsonl"},
    ]
    prepared = taught.prepare(sources=sources)
    assert prepared.code == 0, prepared.log
    pool = taught.lines(prepared, "pools/exam/items.jsonl")
    guessed = {line["id"] for line in pool if line["truth"] == "Teacher"}
    inputs = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    parameters = {"teacher": taught.teacher, "questions": 80}
    sat = taught.run("exam", f"{ITERATION}/exam/a1", parameters, inputs=inputs)
    anchors = {line["id"] for line in taught.lines(sat, "exam.jsonl") if line["origin"] == "anchor"}
    assert guessed and anchors and not anchors & guessed
    labelled = sum(count for count, _, _ in sat.result.figures.blind)
    assert labelled == min(BLIND_ITEMS, len(pool) - len(guessed) - len(anchors))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_error_of_a_teacher_is_found_in_its_label_and_no_other(taught: Any, share: float) -> None:
    taught.know(taught.findings)
    taught.turn(misjudge=share)
    sat, _ = iteration(taught, taught.prepare())
    (critical, wrong, refused), *others = sat.result.figures.blind
    assert critical > 5 and wrong == share * critical and refused == 0
    assert all(count > 5 and not wrong for count, wrong, _ in others)
    report = taught.workspace.read_json(f"{sat.result.path}/replies.json")["labels"]
    assert {(entry["label"], entry["said"]) for entry in report["takenFor"]} <= {("critical", "minor")}
