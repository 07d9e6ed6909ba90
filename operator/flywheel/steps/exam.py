"""The step exam: the teacher writes the next exam from seeds of the exam pool and what the last one showed.

Held-out items are not mounted here.
"""

from __future__ import annotations

from typing import Any

from flywheel.api.conditions import Reason
from flywheel.api.item import Question
from flywheel.api.request import ExamParameters
from flywheel.api.result import ExamFigures, StepResult
from flywheel.api.task import Task
from flywheel.data.normalise import question_id
from flywheel.data.quotas import even_quotas
from flywheel.steps.material import (
    Seeds,
    read_firewall,
    read_pool,
    read_task,
    redactor_for,
    task_schemas,
    task_variables,
)
from flywheel.steps.parameters import parameters_of
from flywheel.teacher.asking import teacher_for
from flywheel.teacher.feedback import Evaluation
from flywheel.teacher.prompts import load_prompt
from flywheel.teacher.writing import Order, Writer
from flywheel.workspace.program import Attempt, BadInputError, FruitlessError, run


def exam(attempt: Attempt) -> StepResult:
    """Write exam.jsonl."""
    request, parameters = attempt.request, parameters_of(attempt, ExamParameters)
    task, pool = read_task(attempt), read_pool(attempt, "exam")
    teacher = teacher_for(attempt, parameters.teacher, redactor_for(task, parameters.redaction))
    seeds = Seeds(pool, task.label.path, request.seed, request.iteration)
    order = exam_order(task, seeds, _previous(attempt), parameters.questions, request.iteration)
    known = {question_id(item.input) for item in pool}
    writer = Writer(teacher, task_schemas(task), task.label.path, known, read_firewall(attempt))
    written = writer.write(order, request.attempt)
    if teacher.usage.unaffordable and len({item.answer[task.label.path] for item in written}) < len(task.label.order):
        raise BadInputError("the budget does not cover an exam with every label", Reason.BUDGET_EXHAUSTED)
    if not written:
        raise FruitlessError("no reply of the teacher held a usable question: see the log", Reason.TEACHER_REPLIES)
    questions = [Question(id=item.id, question=item.question, answer=item.answer) for item in written]
    attempt.workspace.write_jsonl(attempt.path("exam.jsonl"), (question.to_json_object() for question in questions))
    attempt.workspace.write_json(attempt.path("replies.json"), writer.report(order.quotas))
    attempt.workspace.write_jsonl(attempt.path("quarantine.jsonl"), writer.quarantined)
    attempt.workspace.write_jsonl(attempt.path("calls.jsonl"), teacher.calls)
    return attempt.seal(
        ExamFigures(
            questions=len(questions),
            rejected=writer.rejected.total(),
            checked=writer.checked,
            quarantined=dict(sorted(writer.leaks.items())),
            redacted=dict(sorted(teacher.redacted.items())),
            replies={**writer.rungs},
            usage=teacher.usage,
            served_model=teacher.served_model,
        ),
    )


def exam_order(task: Task, seeds: Seeds, previous: dict[str, Any] | None, questions: int, iteration: int) -> Order:
    """What the teacher is to write for an exam."""
    fixed = {**task_variables(task), "previous": previous}

    def variables(label: str, count: int, slot: str) -> dict[str, Any]:
        return {**fixed, "label": label, "count": count, "seeds": seeds.of(label, slot)}

    return Order(
        prompt=load_prompt("exam"),
        repair=load_prompt("repair"),
        name="exam",
        slot=f"iteration {iteration}",
        quotas=even_quotas(questions, task.label.order),
        variables=variables,
        unit="questions",
    )


def _previous(attempt: Attempt) -> dict[str, Any] | None:
    if attempt.input("feedback") is None:
        return None
    path = attempt.input_path("feedback", "evaluation.json")
    return Evaluation.model_validate(attempt.workspace.read_json(path)).to_json_object()


if __name__ == "__main__":
    run(exam)
