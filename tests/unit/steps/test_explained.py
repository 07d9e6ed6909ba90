"""The second reference example, step by step: its own YAML and data, with the stand-in as teacher and as judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.item import Answer, Question
from flywheel.api.result import Accuracy, JudgeFigures, MeasureFigures
from flywheel.api.task import Task
from flywheel.data.pools import POOLS
from flywheel.steps.evaluate import _answered

EXAMPLE = Path(__file__).parents[3] / "examples/code-review-explained"
HOME = "runs/review/explained-1/iter-1"


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A workspace with the example's data, and its stock for the stand-in."""
    (tmp_path / "datasets").mkdir()
    shutil.copy(EXAMPLE / "datasets/findings.jsonl", tmp_path / "datasets/findings.jsonl")
    made: Any = request.getfixturevalue("bench_kind")(tmp_path)
    made.stock = EXAMPLE / "teacher.jsonl"
    return made


def resource(kind: Any, name: str) -> Any:
    return kind.model_validate(yaml.safe_load((EXAMPLE / name).read_text()))


def test_exam_curriculum_and_judgement_hold_explanations(taught: Any) -> None:
    curriculum, run = resource(Curriculum, "curriculum.yaml").spec, resource(FlywheelRun, "flywheelrun.yaml").spec
    sources = [{"name": "findings", "truth": "Rule", "group": "package", "path": "datasets/findings.jsonl"}]
    prepared = taught.prepare(
        task=curriculum.task.to_json_object(),
        sources=sources,
        poolsKey=curriculum.pools.key,
        ratios={pool: str(getattr(curriculum.pools.ratios, pool)) for pool in POOLS},
        leakage=curriculum.leakage.to_json_object(),
    )
    figures = prepared.result.figures
    assert figures.rejected == {"NearDuplicate": 2} and min(min(counts) for counts in figures.labels.values()) >= 11

    seen = prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")
    exam = taught.run("exam", f"{HOME}/exam/a1", {"teacher": taught.teacher, "questions": 40}, inputs=[seen])
    questions = taught.lines(exam, "exam.jsonl")
    assert len(questions) == run.exam.questions and all(len(entry["answer"]["explanation"]) > 20 for entry in questions)

    seen = prepared.entry("curriculum", "task.json", "signatures.json", "pools/curriculum")
    inputs = [seen, exam.entry("exam", "exam.jsonl"), taught.answered(questions)]
    parameters = {"teacher": taught.teacher, "examples": 60, "replay": "0.25"}
    evaluated = taught.run("evaluate", f"{HOME}/evaluate/a1", parameters, inputs=inputs)
    trained = taught.lines(evaluated, "train.jsonl")
    assert len(trained) >= 60 and all(line["output"]["explanation"] for line in trained)

    held = taught.lines(prepared, "pools/test/items.jsonl")
    texts = [item["output"]["explanation"] for item in held]
    arms = {
        "candidate": [json.dumps(item["output"]) for item in held],
        "base": [f"### Review: {text}" for text in (*texts[9:], *texts[:9])],
    }
    for arm, said in arms.items():
        lines = [{"id": i["id"], "truth": "minor", "text": text} for i, text in zip(held, said, strict=True)]
        taught.workspace.write_jsonl(f"{HOME}/test/a1/answers/{arm}.jsonl", lines)
    measured = MeasureFigures(step="test", items=len(held), arms={"candidate": Accuracy(accuracy=1, low=0.9, high=1)})
    tested = {"name": "tested", **taught.finished(f"{HOME}/test/a1", measured), "parts": ["answers"]}
    parameters = {
        "judge": taught.teacher,
        "versus": [{"name": "base", "input": "tested", "arm": "base"}],
        "models": [{"name": "large", "endpoint": taught.teacher}],
        "items": run.evaluation.judge.items // 4,
        "level": "0.99",
    }
    seen = prepared.entry("curriculum", "task.json", "pools/test")
    judged = taught.run("judge", f"{HOME}/judge/a1", parameters, inputs=[seen, tested])
    assert judged.code == 0, judged.log
    found = judged.result.figures
    assert isinstance(found, JudgeFigures)
    assert found.preferences["base"].low > 0 and found.preferences["large"].items == 25


def test_the_examiner_is_shown_the_students_text_beside_its_label() -> None:
    task = resource(Curriculum, "curriculum.yaml").spec.task
    question = Question(id="1", question={"code": "x"}, answer={"issue_type": "major", "explanation": "It is wrong."})
    said = Answer(id="1", truth="major", label="minor", text='{"issue_type":"minor","explanation":"It is slow."}')
    shown = _answered(question, said, task)
    assert (shown["model_answer"], shown["model_text"]) == ("minor", "It is slow.")
    plain = Task.model_validate(task.to_json_object() | {"scoring": "Exact", "text": None})
    assert "model_text" not in _answered(question, said, plain)


def test_its_data_is_that_of_code_review_with_reasons() -> None:
    for name, sibling in (
        ("datasets/findings.jsonl", "code-review/datasets/findings.jsonl"),
        ("teacher.jsonl", "rehearsal-teacher/teacher.jsonl"),
    ):
        known = {(line := json.loads(text))["id"]: line for text in (EXAMPLE.parent / sibling).open(encoding="utf-8")}
        for text in (EXAMPLE / name).open(encoding="utf-8"):
            item = json.loads(text)
            reason = item["output"].pop("explanation")
            assert item == known[item["id"]] and item["rule"].startswith("ruff:")
            assert 20 < len(reason) <= 240
