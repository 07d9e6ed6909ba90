"""The step evaluate: marks the exam, asks the teacher for grade, feedback and examples, makes the training set.

Code marks; the teacher explains and writes. Held-out items are not mounted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from flywheel.api.conditions import Reason
from flywheel.api.item import Answer, Example, Question
from flywheel.api.request import EvaluateParameters, StepRequest
from flywheel.api.result import Difference, EvaluateFigures, StepResult
from flywheel.api.task import Task
from flywheel.data.growth import control_set, drawn, training_set
from flywheel.data.normalise import question_id
from flywheel.data.quotas import weighted_quotas
from flywheel.data.redaction import Redactor
from flywheel.data.scoring import UnansweredError, figures, inflation_gap, score
from flywheel.data.texts import judged_text
from flywheel.statistics.confusion import Confusion
from flywheel.statistics.intervals import Interval
from flywheel.steps.material import (
    Seeds,
    panel_of,
    read_firewall,
    read_lines,
    read_pool,
    read_task,
    read_units,
    redactor_for,
    task_schemas,
    task_variables,
)
from flywheel.steps.parameters import parameters_of
from flywheel.teacher import asking
from flywheel.teacher.feedback import Evaluation, read_evaluation, without_quotations
from flywheel.teacher.labelling import Labeller
from flywheel.teacher.prompts import load_prompt
from flywheel.teacher.replies import read_object
from flywheel.teacher.shapes import evaluation_shape, items_shape
from flywheel.teacher.writing import VOTED_OUT, Order, Writer, log, patience
from flywheel.workspace.program import Attempt, BadInputError, FruitlessError, run

SHOWN_ANSWERS = 10
GRADINGS = 3  # a reply without a readable grade is asked for again


@dataclass(frozen=True)
class Sat:
    """An exam that was sat: questions, answers by question, and the marks."""

    questions: list[Question]
    answers: dict[str, Answer]
    confusion: Confusion
    figures: dict[str, Any]
    gap: Interval | None


def evaluate(attempt: Attempt) -> StepResult:
    """Write evaluation.json, dataset.jsonl and train.jsonl."""
    request, parameters = attempt.request, parameters_of(attempt, EvaluateParameters)
    task, pool = read_task(attempt), read_pool(attempt, "curriculum")
    sat = _mark(attempt, task)
    redactor = redactor_for(task, parameters.redaction)
    teacher = asking.teacher_for(attempt, parameters.teacher, redactor)
    rungs: Counter[str] = Counter()
    evaluation = _grade(teacher, task, sat, request, rungs)
    earlier = [] if attempt.input("previous") is None else read_lines(attempt, "previous", "dataset.jsonl", Example)

    known = {question_id(entry.input) for entry in [*earlier, *pool]}
    known |= {question_id(question.question) for question in sat.questions}
    labeller = None if parameters.unguarded else Labeller(teacher, panel_of(task, parameters.votes, request.seed))
    writer = Writer(teacher, task_schemas(task), task.label.path, known, read_firewall(attempt), labeller)
    seeds = Seeds(pool, read_units(attempt, "curriculum"), task.label.path, request.seed, request.iteration)
    order = dataset_order(task, sat, evaluation, seeds, parameters.examples, request.iteration)
    new = [
        Example(id=item.id, input=item.question, output=item.answer, origin="teacher", iteration=request.iteration)
        for item in writer.write(order, request.attempt)
    ]
    if not new and teacher.usage.unaffordable:
        raise BadInputError("the budget does not cover a new example", Reason.BUDGET_EXHAUSTED)
    if not new:
        raise FruitlessError(f"no usable example of the teacher: {writer.told(order.quotas)}", Reason.TEACHER_REPLIES)
    examples = [*earlier, *new]
    train = training_set(examples, pool, task.label.path, parameters.replay, request.seed, request.iteration)
    if parameters.control:
        log.warning("control: trained on seed items, not on what the teacher wrote")
        train = control_set(pool, len(train), request.seed, request.iteration)
    train = [_redacted(example, redactor) for example in train]
    _write(attempt, evaluation, sat, examples, train, writer.report(order.quotas))
    attempt.workspace.write_jsonl(attempt.path("quarantine.jsonl"), writer.quarantined)
    attempt.workspace.write_jsonl(attempt.path("calls.jsonl"), teacher.calls)
    return attempt.seal(
        EvaluateFigures(
            proficiency=evaluation.proficiency,
            inflation_gap=_difference(sat.gap),
            new_examples=len(new),
            training_items=len(train),
            rejected=writer.rejected.total(),
            voted_out=writer.rejected[VOTED_OUT],
            short=writer.short(order.quotas),
            replies=dict(rungs + writer.replies),
            checked=writer.checked,
            quarantined=dict(sorted(writer.leaks.items())),
            redacted=dict(sorted(teacher.redacted.items())),
            usage=teacher.usage,
            served_model=teacher.served_model,
        )
    )


def _redacted(example: Example, redactor: Redactor) -> Example:
    """As the teacher saw its like: otherwise a secret would tell replayed items from the teacher's."""
    question, _ = redactor.redacted(example.input)
    answer, _ = redactor.redacted(example.output)
    return example.model_copy(update={"input": question, "output": answer})


def _mark(attempt: Attempt, task: Task) -> Sat:
    questions = read_lines(attempt, "exam", "exam.jsonl", Question)
    answers = {answer.id: answer for answer in read_lines(attempt, "answer", "answers.jsonl", Answer)}
    try:
        return marked(questions, answers, task)
    except UnansweredError as error:
        raise BadInputError(str(error)) from error


def _difference(gap: Interval | None) -> Difference | None:
    return None if gap is None else Difference(difference=gap.value, low=gap.low, high=gap.high)


def marked(questions: list[Question], answers: dict[str, Answer], task: Task) -> Sat:
    """The exam's outcome. Raises UnansweredError."""
    confusion = score(questions, answers, task.label.path, task.label.order)
    gap = inflation_gap(questions, answers, task.label.path, task.label.order)
    return Sat(questions, answers, confusion, figures(confusion, list(answers.values())), gap)


def _grade(teacher: asking.Teacher, task: Task, sat: Sat, request: StepRequest, rungs: Counter[str]) -> Evaluation:
    shown = shown_answers(sat, task, request.seed, request.iteration)
    question = grading(task, sat, shown, request.iteration)
    gradings = GRADINGS * patience(request.attempt)
    for sample in range(gradings):
        reply = teacher.ask([replace(question, sample=sample)])[0]
        if reply is None:
            raise BadInputError("the budget does not cover the grading of the exam", Reason.BUDGET_EXHAUSTED)
        read = read_object(reply, ("proficiency", "feedback"))
        rungs[read.rung] += 1
        evaluation = read_evaluation(read.items[0]) if read.items else None
        if evaluation is None:
            log.warning("evaluation: reply %d of %d has no readable grade (%s)", sample + 1, gradings, read.rung)
            continue
        feedback, quoted = without_quotations(evaluation.feedback, [*shown, *_material(sat)])
        if quoted:
            log.warning("evaluation: %d sentences of the feedback quoted an item and were left out", quoted)
        return Evaluation(proficiency=evaluation.proficiency, feedback=feedback)
    raise FruitlessError(
        f"{gradings} replies of the teacher had no readable grade: see the log", Reason.TEACHER_REPLIES
    )


def grading(task: Task, sat: Sat, shown: list[dict[str, Any]], iteration: int) -> asking.Question:
    """The one call that asks for grade and feedback."""
    variables = {**task_variables(task), "figures": sat.figures, "answers": shown}
    return asking.Question(load_prompt("evaluation"), variables, f"iteration {iteration}", shape=evaluation_shape())


def shown_answers(sat: Sat, task: Task, seed: int, iteration: int) -> list[dict[str, Any]]:
    """At most SHOWN_ANSWERS answers to the teacher's own questions: wrong ones first, every label in turn.

    Anchors stay unseen: a teacher that knew them could teach them, and they would measure nothing.
    """
    piles: dict[str, list[Question]] = {label: [] for label in task.label.order}
    written = [question for question in sat.questions if question.origin == "teacher"]
    for question in sorted(written, key=lambda question: drawn(seed, "shown", iteration, question.id)):
        piles[str(question.answer[task.label.path])].append(question)

    def right(question: Question) -> bool:
        return sat.answers[question.id].label == question.answer[task.label.path]

    turns = [
        (right(question), place, question)
        for pile in piles.values()
        for place, question in enumerate(sorted(pile, key=right))
    ]
    turns.sort(key=lambda turn: turn[:2])
    return [_answered(question, sat.answers[question.id], task) for _, _, question in turns[:SHOWN_ANSWERS]]


def _answered(question: Question, answer: Answer, task: Task) -> dict[str, Any]:
    said = answer.label if answer.label is not None else f"(no label: {answer.state})"
    text = {"model_text": judged_text(answer.text, task)} if task.text is not None else {}
    return {"question": question.question, "answer": question.answer, "model_answer": said, **text}


def _material(sat: Sat) -> list[dict[str, Any]]:
    return [question.question for question in sat.questions]


def dataset_order(task: Task, sat: Sat, evaluation: Evaluation, seeds: Seeds, examples: int, iteration: int) -> Order:
    """What the teacher is to write for training, more of what the exam showed to be weak."""
    recall = sat.confusion.recall
    fixed = task_variables(task)
    marks: Mapping[str, Any] = {entry["label"]: entry for entry in sat.figures["labels"]}

    def variables(label: str, count: int, slot: str) -> dict[str, Any]:
        findings = {**evaluation.to_json_object(), "marks": marks[label]}
        return {**fixed, "label": label, "count": count, **seeds.of(label, slot), "findings": findings}

    # A label that was not asked about counts as one that was never right.
    weights = {label: 1.0 - (recall[label] or 0.0) for label in task.label.order}
    return Order(
        prompt=load_prompt("dataset"),
        repair=load_prompt("repair"),
        name="dataset",
        slot=f"iteration {iteration}",
        quotas=weighted_quotas(examples, weights),
        variables=variables,
        unit="examples",
        shape=items_shape("dataset", task),
    )


def _write(
    attempt: Attempt,
    evaluation: Evaluation,
    sat: Sat,
    examples: Sequence[Example],
    train: Sequence[Example],
    replies: dict[str, Any],
) -> None:
    workspace = attempt.workspace
    workspace.write_json(attempt.path("evaluation.json"), evaluation.to_json_object())
    gap = None if sat.gap is None else asdict(sat.gap)
    workspace.write_json(attempt.path("marks.json"), {**sat.figures, "inflationGap": gap})
    workspace.write_json(attempt.path("replies.json"), replies)
    workspace.write_jsonl(attempt.path("dataset.jsonl"), (example.to_json_object() for example in examples))
    workspace.write_jsonl(attempt.path("train.jsonl"), (example.to_json_object() for example in train))


if __name__ == "__main__":
    run(evaluate)
