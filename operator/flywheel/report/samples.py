"""A few exam questions that the teacher wrote, with its key and the student's answer.

Never an item of the Curriculum: held-out ones must stay unseen, and anchors of exams are no different. What is shown is
redacted once more, by the rules that the exam was written under.
"""

from __future__ import annotations

import json
from typing import Any

from flywheel.api.item import Answer, Question
from flywheel.api.request import ExamParameters
from flywheel.api.task import Task
from flywheel.data.redaction import Redactor
from flywheel.report.blocks import Sample, Samples
from flywheel.report.run import MissingError, Run
from flywheel.steps.material import redactor_for

EACH = 4  # of wrong and of right answers
_LONGEST = 1200  # characters of a text that are shown


def samples(run: Run) -> Samples:
    """Questions of the newest exam: as many wrong answers as right ones, in the order of the labels."""
    iteration = run.steps("answer")[-1].iteration
    exam, answered = run.step("exam", iteration), run.step("answer", iteration)
    if exam is None or answered is None:
        raise MissingError(f"the exam of iteration {iteration} is not on the workspace")
    parameters = run.request(exam).parameters
    if not isinstance(parameters, ExamParameters):
        raise MissingError(f"{exam.folder} was not asked for an exam")
    task, redactor = run.task, redactor_for(run.task, parameters.redaction)
    answers = {answer.id: answer for answer in run.lines(answered, "answers.jsonl", Answer)}
    asked = [one for one in run.lines(exam, "exam.jsonl", Question) if one.origin == "teacher" and one.id in answers]
    wrong = [one for one in asked if not _right(one, answers[one.id], task)]
    right = [one for one in asked if _right(one, answers[one.id], task)]
    chosen = [*_spread(wrong, task)[:EACH], *_spread(right, task)[:EACH]]
    if not chosen:
        raise MissingError("the newest exam has no question of the teacher's that was answered")
    caption = (
        f"From the exam of iteration {iteration}: at most {EACH} wrong and {EACH} right answers, whatever their share"
        " was. Questions and keys are the teacher's. Items of the Curriculum, held out or not, are never shown here."
    )
    return Samples(caption, [_sample(one, answers[one.id], task, redactor) for one in chosen])


def _right(question: Question, answer: Answer, task: Task) -> bool:
    return answer.label == question.answer.get(task.label.path)


def _spread(questions: list[Question], task: Task) -> list[Question]:
    """Each label in turn."""
    piles = {
        label: [one for one in questions if one.answer.get(task.label.path) == label] for label in task.label.order
    }
    turns = [(turn, place, one) for place, pile in enumerate(piles.values()) for turn, one in enumerate(pile)]
    return [one for _, _, one in sorted(turns, key=lambda entry: entry[:2])]


def _sample(question: Question, answer: Answer, task: Task, redactor: Redactor) -> Sample:
    shown: dict[str, Any]
    shown, _ = redactor.redacted({"question": question.question, "key": question.answer, "said": answer.text})
    label = answer.label if answer.label is not None else f"no label ({answer.state})"
    said = [("Key", _text(shown["key"])), ("Student's label", label)]
    if answer.text:
        said.append(("Student's words", _text(shown["said"])))
    fields = [(name, _text(value)) for name, value in shown["question"].items()]
    right = _right(question, answer, task)
    return Sample(f"{question.answer.get(task.label.path)}: {'right' if right else 'wrong'}", right, fields, said)


def _text(value: object) -> str:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} … ({len(said) - _LONGEST} more characters)"
