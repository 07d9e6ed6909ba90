"""The step exam: a block of trusted anchors, and what the teacher writes from seeds of the exam pool.

What the last exam showed is in its prompt. Held-out items are not mounted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.api.conditions import Reason
from flywheel.api.item import Item, Question
from flywheel.api.request import ExamParameters
from flywheel.api.result import ExamFigures, StepResult
from flywheel.api.task import Task
from flywheel.data.normalise import question_id
from flywheel.data.quotas import even_quotas
from flywheel.data.redaction import Redactor
from flywheel.data.trusted import anchor_block, blind_items
from flywheel.steps.material import (
    Seeds,
    labelled,
    panel_of,
    read_firewall,
    read_pool,
    read_task,
    read_units,
    redactor_for,
    task_schemas,
    task_variables,
)
from flywheel.steps.parameters import parameters_of
from flywheel.teacher.asking import teacher_for
from flywheel.teacher.feedback import Evaluation
from flywheel.teacher.labelling import Labeller
from flywheel.teacher.prompts import load_prompt
from flywheel.teacher.shapes import items_shape
from flywheel.teacher.writing import VOTED_OUT, Order, Writer
from flywheel.workspace.program import Attempt, BadInputError, FruitlessError, run


def exam(attempt: Attempt) -> StepResult:
    """Write exam.jsonl."""
    request, parameters = attempt.request, parameters_of(attempt, ExamParameters)
    task, pool = read_task(attempt), read_pool(attempt, "exam")
    redactor = redactor_for(task, parameters.redaction)
    teacher = teacher_for(attempt, parameters.teacher, redactor)
    anchors = [] if parameters.unguarded else anchor_block(pool, task, parameters.questions, request.seed)
    # What is shown to the teacher would not measure it.
    shown = [item for item in pool if item not in anchors]
    seeds = Seeds(shown, read_units(attempt, "exam"), task.label.path, request.seed, request.iteration)
    labeller = None
    if not parameters.unguarded:
        trusted = blind_items(shown, task.label.path, request.iteration, request.seed)
        labeller = Labeller(teacher, panel_of(task, parameters.votes, request.seed), labelled(trusted, task))
    quotas = quotas_beside(anchors, parameters.questions, task)
    order = exam_order(task, seeds, _previous(attempt), quotas, request.iteration)
    known = {question_id(item.input) for item in pool}
    writer = Writer(teacher, task_schemas(task), task.label.path, known, read_firewall(attempt), labeller)
    written = writer.write(order, request.attempt)
    wanted = {label for label, quota in order.quotas.items() if quota}
    if teacher.usage.unaffordable and wanted - {item.answer[task.label.path] for item in written}:
        raise BadInputError("the budget does not cover an exam with every label", Reason.BUDGET_EXHAUSTED)
    if not written:
        raise FruitlessError(f"no usable question of the teacher: {writer.told(order.quotas)}", Reason.TEACHER_REPLIES)
    questions = [_anchor(item, redactor) for item in anchors]
    questions += [Question(id=item.id, question=item.question, answer=item.answer) for item in written]
    attempt.workspace.write_jsonl(attempt.path("exam.jsonl"), (question.to_json_object() for question in questions))
    attempt.workspace.write_json(attempt.path("replies.json"), writer.report(order.quotas))
    attempt.workspace.write_jsonl(attempt.path("quarantine.jsonl"), writer.quarantined)
    attempt.workspace.write_jsonl(attempt.path("calls.jsonl"), teacher.calls)
    return attempt.seal(
        ExamFigures(
            questions=len(questions),
            anchors=len(anchors),
            rejected=writer.rejected.total(),
            voted_out=writer.rejected[VOTED_OUT],
            blind=[] if labeller is None else labeller.blind(task.label.order),
            short=writer.short(order.quotas),
            checked=writer.checked,
            quarantined=dict(sorted(writer.leaks.items())),
            redacted=dict(sorted(teacher.redacted.items())),
            replies={**writer.replies},
            usage=teacher.usage,
            served_model=teacher.served_model,
        ),
    )


def _anchor(item: Item, redactor: Redactor) -> Question:
    """As the teacher sees its like: otherwise a secret would tell anchors from the teacher's questions."""
    question, _ = redactor.redacted(item.input)
    answer, _ = redactor.redacted(item.output)
    return Question(id=item.id, question=question, answer=answer, origin="anchor")


def quotas_beside(anchors: Sequence[Item], questions: int, task: Task) -> dict[str, int]:
    """How many questions of each label the teacher is to write."""
    held = Counter(item.output[task.label.path] for item in anchors)
    return {label: quota - held[label] for label, quota in even_quotas(questions, task.label.order).items()}


def exam_order(
    task: Task, seeds: Seeds, previous: dict[str, Any] | None, quotas: Mapping[str, int], iteration: int
) -> Order:
    """What the teacher is to write for an exam."""
    fixed = {**task_variables(task), "previous": previous}

    def variables(label: str, count: int, slot: str) -> dict[str, Any]:
        return {**fixed, "label": label, "count": count, **seeds.of(label, slot)}

    return Order(
        prompt=load_prompt("exam"),
        repair=load_prompt("repair"),
        name="exam",
        slot=f"iteration {iteration}",
        quotas=quotas,
        variables=variables,
        unit="questions",
        shape=items_shape("exam", task),
    )


def _previous(attempt: Attempt) -> dict[str, Any] | None:
    if attempt.input("feedback") is None:
        return None
    path = attempt.input_path("feedback", "evaluation.json")
    return Evaluation.model_validate(attempt.workspace.read_json(path)).to_json_object()


if __name__ == "__main__":
    run(exam)
