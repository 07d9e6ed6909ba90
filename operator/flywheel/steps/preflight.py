"""The step preflight: asks the teacher once, for an empty exam, before anything that is worth money is asked.

Key, hosts, certificates, model and the format of replies are proven while all of them can still be mended.
"""

from __future__ import annotations

from collections import Counter

from flywheel.api.conditions import Reason
from flywheel.api.request import PreflightParameters, Redaction
from flywheel.api.result import PreflightFigures, StepResult
from flywheel.steps.material import read_task, redactor_for, task_schemas
from flywheel.steps.parameters import parameters_of
from flywheel.teacher.asking import Question, teacher_for
from flywheel.teacher.prompts import load_prompt
from flywheel.teacher.replies import read_items
from flywheel.teacher.shapes import items_shape
from flywheel.teacher.writing import FIELDS, log, patience
from flywheel.workspace.program import Attempt, BadInputError, FruitlessError, run

READABLE = ("strict", "block")


def preflight(attempt: Attempt) -> StepResult:
    """One call whose reply can be read; another for each attempt after the first."""
    request, parameters = attempt.request, parameters_of(attempt, PreflightParameters)
    task = task_schemas(read_task(attempt)).task
    teacher = teacher_for(attempt, parameters.teacher, redactor_for(task, Redaction()))
    shape, rungs, tries = items_shape("exam", task), Counter[str](), patience(request.attempt)
    for sample in range(tries):
        reply = teacher.ask([Question(load_prompt("preflight"), {}, "preflight", sample, shape)])[0]
        if reply is None:
            raise BadInputError("the budget does not cover one call that asks for nothing", Reason.BUDGET_EXHAUSTED)
        rung = read_items(reply, "exam", FIELDS).rung
        rungs[rung] += 1
        if rung in READABLE:
            log.info("preflight: the teacher answers (%s)", rung)
            return attempt.seal(
                PreflightFigures(replies={**rungs}, usage=teacher.usage, served_model=teacher.served_model)
            )
    words = f"the teacher answers, and what it was asked for cannot be read in it ({', '.join(rungs)})"
    raise FruitlessError(f"{words}: is spec.teacher.model a model that follows instructions?", Reason.TEACHER_REPLIES)


if __name__ == "__main__":
    run(preflight)
