"""Stands in for the student and trainer images in runs of processes: no torch, the same files and figures.

As a program: `fake_student.py <step>`. It knows a share of the answers, more of them with an adapter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy
from safetensors.numpy import save

from flywheel.api.item import Answer, CurvePoint, Item, Question
from flywheel.api.request import MeasureParameters, TrainParameters
from flywheel.api.result import AnswerFigures, StepResult, TrainFigures
from flywheel.api.task import PreparedTask, Task
from flywheel.data.growth import drawn
from flywheel.statistics.measurement import CANDIDATE, measurement, score
from flywheel.workspace.adapter import FOLDER, adapter_digest
from flywheel.workspace.openings import open_test_pool
from flywheel.workspace.program import Attempt, run

KNOWN = {"base": 3, "likelihood": 4, "fewShot": 5, "majority": 3, "bagOfWords": 6, CANDIDATE: 13}  # sixteenths

_LOSSES = ((1, 2.0), (2, 1.4), (3, 1.0))  # by optimiser step


def answer(attempt: Attempt) -> StepResult:
    task = _task(attempt)
    lines = attempt.workspace.read_jsonl(attempt.input_path("exam", "exam.jsonl"))
    exam = [Question.model_validate(line) for line in lines]
    arm = CANDIDATE if attempt.input("adapter") is not None else "base"
    answers = _answers(task, arm, [(entry.id, str(entry.answer[task.label.path])) for entry in exam])
    attempt.workspace.write_jsonl(attempt.path("answers.jsonl"), [line.to_json_object() for line in answers])
    figures = score(task, answers, level=0.95, seed=attempt.request.seed)
    return attempt.seal(AnswerFigures(items=len(answers), score=figures))


def train(attempt: Attempt) -> StepResult:
    parameters, folder = attempt.request.parameters, attempt.path(FOLDER)
    assert isinstance(parameters, TrainParameters)
    examples = len(list(attempt.workspace.read_jsonl(attempt.input_path("data", "train.jsonl"))))
    config = {"peft_type": "LORA", "base_model_name_or_path": "student", "task_type": "CAUSAL_LM", "r": 2}
    attempt.workspace.write_json(f"{folder}/adapter_config.json", config)
    attempt.workspace.write_json(f"{folder}/contract.json", {"version": 1})
    weights = {"q.lora_A.weight": numpy.full((2, 4), examples, numpy.float32)}
    attempt.workspace.write_bytes(f"{folder}/adapter_model.safetensors", save(weights))
    made = adapter_digest(attempt.workspace, folder)
    curve = [CurvePoint(step=step, epoch=step / 3, loss=loss, learning_rate=0.1) for step, loss in _LOSSES]
    attempt.workspace.write_jsonl(attempt.path("curve.jsonl"), [point.to_json_object() for point in curve])
    return attempt.seal(TrainFigures(adapter=made, steps=3, first_loss=2, last_loss=1, steps_per_second=2))


def measure(attempt: Attempt) -> StepResult:
    parameters, task, workspace = attempt.request.parameters, _task(attempt), attempt.workspace
    assert isinstance(parameters, MeasureParameters)
    lines = workspace.read_jsonl(attempt.input_path("curriculum", f"pools/{parameters.pool}/items.jsonl"))
    items = [(item.id, str(item.output[task.label.path])) for item in map(Item.model_validate, lines)]
    terms = parameters.opening
    opened = open_test_pool(workspace, attempt.request, terms, [identity for identity, _ in items]) if terms else None
    wanted = [CANDIDATE] if attempt.input("adapter") is not None else []
    wanted += [arm for arm in KNOWN if arm != CANDIDATE] if parameters.untrained_arms else []
    arms = {arm: _answers(task, arm, items) for arm in wanted}
    for arm, answers in arms.items():
        workspace.write_jsonl(attempt.path(f"answers/{arm}.jsonl"), [line.to_json_object() for line in answers])
    others = {arm: answers for arm, answers in arms.items() if arm != CANDIDATE}
    for entry in parameters.comparisons:
        recorded = workspace.read_jsonl(attempt.input_path(entry.input, f"answers/{entry.arm}.jsonl"))
        others[entry.name] = [Answer.model_validate(line) for line in recorded]
    fields = list(task.input_schema["properties"]) if CANDIDATE in arms else []
    blanked = {field: _answers(task, "base", items[: parameters.blanked]) for field in fields if parameters.blanked}
    for field, answers in blanked.items():
        workspace.write_jsonl(attempt.path(f"blanked/{field}.jsonl"), [line.to_json_object() for line in answers])
    figures = measurement(parameters, task, arms, others, blanked, len(items), seed=attempt.request.seed)
    spent = {"openings": opened.openings, "spent": float(opened.spent)} if opened else {}
    return attempt.seal(figures.model_copy(update=spent))


def _task(attempt: Attempt) -> Task:
    return PreparedTask.model_validate(attempt.workspace.read_json(attempt.input_path("curriculum", "task.json"))).task


def _answers(task: Task, arm: str, items: Sequence[tuple[str, str]]) -> list[Answer]:
    order, found = task.label.order, list[Answer]()
    for identity, truth in items:
        known = int(drawn(0, arm, identity)[:1], 16) < KNOWN[arm]
        found.append(Answer(id=identity, truth=truth, label=truth if known else order[order.index(truth) - 1]))
    return found


if __name__ == "__main__":
    run({"answer": answer, "train": train, "validate": measure, "test": measure}[sys.argv[1]])
