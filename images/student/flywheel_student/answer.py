"""Step answer: the student sits the exam, all questions in one pass, and is scored by the teacher's key."""

from __future__ import annotations

from flywheel.api.item import Answer, Question
from flywheel.api.request import AnswerParameters
from flywheel.api.result import AnswerFigures, StepResult
from flywheel.api.task import PreparedTask
from flywheel.statistics.measurement import score
from flywheel.workspace.program import Attempt, BadInputError, run

_LEVEL = 0.95


def answer(attempt: Attempt) -> StepResult:
    """answers.jsonl, one line per question in the exam's order."""
    parameters = attempt.request.parameters
    if not isinstance(parameters, AnswerParameters):
        raise BadInputError(f"this program does not know the step {attempt.request.step}")
    prepared = PreparedTask.model_validate(attempt.workspace.read_json(attempt.input_path("curriculum", "task.json")))
    exam = attempt.workspace.read_jsonl(attempt.input_path("exam", "exam.jsonl"))
    questions = [Question.model_validate(line) for line in exam]
    if not questions:
        raise BadInputError("the exam has no questions")

    # Torch takes seconds to import: bad input is refused before.
    from flywheel_student.freeform import reply_to
    from flywheel_student.opening import open_student
    from flywheel_student.progress import Progress

    student, tokens = open_student(attempt, prepared, parameters.model_path)
    prompts = [tokens.encode_prompt(question.question) for question in questions]
    progress = Progress("answer", "exam", len(questions))
    replies = reply_to(student, tokens, prompts, parameters.batch_size, progress.advance)
    label = prepared.task.label.path
    lines = [
        Answer(id=question.id, truth=str(question.answer[label]), text=text, label=found, state=state)
        for question, (text, found, state) in zip(questions, replies, strict=True)
    ]
    attempt.workspace.write_jsonl(attempt.path("answers.jsonl"), [line.to_json_object() for line in lines])
    figures = score(prepared.task, lines, level=_LEVEL, seed=attempt.request.seed)
    return attempt.seal(AnswerFigures(items=len(lines), score=figures))


if __name__ == "__main__":
    run(answer)
