"""Run with the ML environment: `$(images/ml-environment.sh | tail -1) -m pytest tests/ml`; skipped without it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the programs do, before torch is imported
sys.path[:0] = [str(HERE), *(str(HERE.parents[1] / part) for part in ("operator", "images/student", "images/trainer"))]

from mlbed import ROOT, STUDENT, TASK, Bed, make_items, training  # noqa: E402

from flywheel.api.item import Example, Question  # noqa: E402  the paths above come first
from flywheel.api.request import Input  # noqa: E402
from flywheel.api.result import EvaluateFigures, ExamFigures, PrepareFigures, StepResult  # noqa: E402
from flywheel.api.task import PreparedTask  # noqa: E402

missing = [name for name in ("torch", "transformers", "peft", "nemo") if importlib.util.find_spec(name) is None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if missing and HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} missing: run `make test-ml`"))


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    """The workspace, with the model beside the curriculum."""
    bed = Bed(tmp_path_factory.mktemp("workspace"))
    shutil.copytree(STUDENT, bed.model)
    return bed


@pytest.fixture(scope="session")
def curriculum(bed: Bed) -> Input:
    template = (ROOT / "prompts" / "task.j2").read_text()
    home = "curricula/test/c/r1"
    bed.workspace.write_json(f"{home}/task.json", PreparedTask(task=TASK, template=template).to_json_object())
    for seed, (pool, count) in enumerate({"validation": 48, "test": 48, "probe": 16, "curriculum": 16}.items()):
        lines = [item.to_json_object() for item in make_items(count, seed + 1)]
        bed.workspace.write_jsonl(f"{home}/pools/{pool}/items.jsonl", lines)
    return bed.sealed(home, PrepareFigures(revision="r1", items={}, labels={}), "curriculum")


@pytest.fixture(scope="session")
def exam(bed: Bed) -> Input:
    questions = [Question(id=f"q{i}", question=x.input, answer=x.output) for i, x in enumerate(make_items(20, 20))]
    bed.workspace.write_jsonl("runs/test/r/iter-1/exam/a1/exam.jsonl", [q.to_json_object() for q in questions])
    return bed.sealed("runs/test/r/iter-1/exam/a1", ExamFigures(questions=20), "exam")


@pytest.fixture(scope="session")
def data(bed: Bed) -> Input:
    examples = [
        Example(id=item.id, input=item.input, output=item.output, origin="teacher") for item in make_items(96, 30)
    ]
    folder = "runs/test/r/iter-1/evaluate/a1"
    bed.workspace.write_jsonl(f"{folder}/train.jsonl", [example.to_json_object() for example in examples])
    figures = EvaluateFigures(proficiency=3, new_examples=96, training_items=96)
    return bed.sealed(folder, figures, "data")


@pytest.fixture(scope="session")
def trained(bed: Bed, curriculum: Input, data: Input) -> tuple[StepResult, str]:
    """A training to its end, and its log."""
    return bed.run("flywheel_trainer.train", "runs/test/r/iter-1/train/a1", training(bed), [curriculum, data])
