"""A teacher that writes real held-out items, as they are or disguised: each is left out, counted, nowhere quoted."""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import re
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from redactors import PLAIN

from flywheel.api.request import TeacherParameters
from flywheel.data.near_duplicates import sketch
from flywheel.steps import exam as exam_step
from flywheel.teacher import asking
from flywheel.teacher.asking import Teacher
from flywheel.teacher.ledger import Ledger, Reply
from flywheel.workspace.program import Attempt

HOME = "runs/review/severity-1/iter-1"
LABELS = ["critical", "major", "minor", "trivial"]
LEAKAGE = {"fields": ["code"], "threshold": "0.7"}


class Remembering:
    """Writes for each label what it was told, then fresh items."""

    def __init__(self, name: str, items: list[dict[str, Any]]) -> None:
        self.settings: dict[str, Any] = {}
        self._name = name
        self._items = items
        self._calls = 0

    def complete(self, text: str) -> Reply:
        if "You examine" in text:
            grade = {"proficiency": 6, "feedback": {"strengths": [], "weaknesses": ["Major is weak."]}}
            return Reply(text=json.dumps(grade), finish_reason="stop")
        self._calls += 1
        label = next(label for label in LABELS if f'"issue_type" = "{label}"' in text)
        fresh = [{"code": f"fresh_{self._calls}({number})", "review": "Why?"} for number in range(10)]
        told = [{"question": item, "answer": {"issue_type": label}} for item in [*self._items, *fresh]]
        return Reply(text=json.dumps({self._name: told}), finish_reason="stop")


def reformatted(code: str) -> str:
    return ast.unparse(ast.parse(textwrap.dedent(code)))


def commented(code: str) -> str:
    return "# as seen elsewhere\n" + re.sub(r"$", "  # see there", code, flags=re.MULTILINE)


def renamed(code: str) -> str:
    code = textwrap.dedent(code)
    tree = ast.parse(code)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(dir(builtins))
    for number, name in enumerate(sorted(names)):
        code = re.sub(rf"\b{name}\b", f"mine_{number}", code)
    return code


DISGUISES = {"verbatim": str, "reformatted": reformatted, "comments": commented, "renamed": renamed}


def held_out(bench: Any, prepared: Any) -> list[dict[str, Any]]:
    """Held-out and probe items that parse and are long enough to be known by their shape."""
    items = [
        line for pool in ("validation", "test", "probe") for line in bench.lines(prepared, f"pools/{pool}/items.jsonl")
    ]
    found = []
    for item in items:
        code = textwrap.dedent(item["input"]["code"])
        try:
            plain = sketch(renamed(code)).shape and sketch(ast.unparse(ast.parse(code))).shape
        except SyntaxError:
            continue
        if plain and '"""' not in code and "\\\n" not in code:
            found.append(item["input"])
    assert len(found) >= 5
    return sorted(found, key=lambda item: -len(sketch(item["code"]).shape))[:8]


def teach(bench: Any, monkeypatch: pytest.MonkeyPatch, step: str, prepared: Any, items: list[dict[str, Any]]) -> Any:
    def teacher_for(attempt: Attempt, parameters: TeacherParameters, *_: Any) -> Teacher:
        name = {"exam": "exam", "evaluate": "dataset"}[step]
        ledger = Ledger(attempt.workspace, "ledger/review")
        return Teacher(parameters, Remembering(name, items), ledger, "p", attempt.request.seed, PLAIN)

    monkeypatch.setattr(asking, "teacher_for", teacher_for)
    monkeypatch.setattr(exam_step, "teacher_for", teacher_for)
    teacher = {"baseUrl": "http://teacher/v1", "model": "gpt", "concurrency": 1}
    if step == "exam":
        inputs = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
        return bench.run(
            "exam", f"{HOME}/exam/a1", {"teacher": teacher, "questions": 12, "unguarded": True}, inputs=inputs
        )
    questions = [
        {"id": str(place), "question": {"code": f"q{place}()", "review": "?"}, "answer": {"issue_type": label}}
        for place, label in enumerate(LABELS)
    ]
    bench.workspace.write_jsonl(f"{HOME}/exam/a9/exam.jsonl", questions)
    figures = importlib.import_module("flywheel.api.result").ExamFigures(questions=4)
    inputs = [
        prepared.entry("curriculum", "task.json", "signatures.json", "pools/curriculum"),
        {"name": "exam", **bench.finished(f"{HOME}/exam/a9", figures)},
        bench.answered(questions),
    ]
    return bench.run(
        "evaluate",
        f"{HOME}/evaluate/a1",
        {"teacher": teacher, "examples": 12, "replay": "0", "unguarded": True},
        inputs=inputs,
    )


@pytest.mark.parametrize("step", ["exam", "evaluate"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_held_out_items_are_quarantined(bench: Any, monkeypatch: pytest.MonkeyPatch, step: str, disguise: str) -> None:
    prepared = bench.prepare(leakage=LEAKAGE)
    real = held_out(bench, prepared)
    change: Callable[[str], str] = DISGUISES[disguise]
    shown = [{"code": change(item["code"]), "review": item["review"]} for item in real]
    ran = teach(bench, monkeypatch, step, prepared, shown)
    assert ran.code == 0, ran.log
    figures = ran.result.figures
    assert sum(figures.quarantined.values()) == len(LABELS) * len(real)
    assert ("HeldOutNear" in figures.quarantined) == (disguise != "verbatim")
    assert figures.checked == len(LABELS) * (len(real) + 10)
    quarantine = bench.lines(ran, "quarantine.jsonl")
    assert set(quarantine[0]) == {"id", "label", "reason", "held_out", "similarity"}
    # The ledger holds the reply as it was paid for; nothing else that the step wrote holds the text.
    written = [path for path in (bench.root / ran.result.path).rglob("*") if path.is_file()]
    assert len(written) >= 4
    for item in (*real, *shown):
        quoted = json.dumps(item["code"])[1:-1]
        assert not [path for path in written if quoted in path.read_text()]


@pytest.mark.parametrize("step", ["exam", "evaluate"])
def test_unrelated_items_pass(bench: Any, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    stock = [json.loads(line) for line in (bench.samples / "stock.jsonl").read_text().splitlines()][:40]
    ran = teach(bench, monkeypatch, step, bench.prepare(leakage=LEAKAGE), [line["input"] for line in stock])
    assert ran.code == 0, ran.log
    assert ran.result.figures.quarantined == {}
    assert ran.result.figures.checked >= 160


def test_a_field_that_no_question_has_is_said(bench: Any) -> None:
    ran = bench.prepare(leakage={"fields": ["kode"]})
    assert (ran.code, ran.result.error.reason) == (64, "SchemaMismatch")
    assert "spec.leakage.fields names kode" in ran.result.error.message


def test_no_two_pools_hold_the_same_code(bench: Any) -> None:
    lines = [json.loads(line) for line in bench.findings.read_text().splitlines()]
    copies = [line | {"file": f"copy/{place}.py"} for place, line in enumerate(lines[:60])]
    for line in copies:
        line["input"] = {"code": "# copied\n" + line["input"]["code"], "review": "Another."}
    bench.findings.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *copies]))
    ran = bench.prepare(leakage=LEAKAGE)
    assert ran.code == 0, ran.log
    assert ran.result.figures.rejected["NearDuplicate"] > 20
    training = {
        line["input"]["code"].removeprefix("# copied\n")
        for pool in ("exam", "curriculum")
        for line in bench.lines(ran, f"pools/{pool}/items.jsonl")
    }
    for pool in ("validation", "test", "probe"):
        for line in bench.lines(ran, f"pools/{pool}/items.jsonl"):
            assert line["input"]["code"].removeprefix("# copied\n") not in training
