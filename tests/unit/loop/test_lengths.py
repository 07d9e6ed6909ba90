"""What did not fit the student is in the iteration's status and in the step's event."""

from __future__ import annotations

import pytest
from resources import digest, flywheel_run, run_spec

from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration
from flywheel.api.result import Accuracy, AnswerFigures, StepResult, TrainFigures
from flywheel.loop.accept import accept
from flywheel.loop.attempts import Accepted

SPEC = flywheel_run(run_spec()).spec


def accepted(step: str, over_long: int) -> tuple[Iteration, str]:
    score = Accuracy(accuracy=0.5, low=0.4, high=0.6, over_long=over_long)
    figures = {
        "answer": AnswerFigures(items=20, score=score),
        "train": TrainFigures(adapter=digest("a"), steps=10, first_loss=2, last_loss=1, over_long=over_long),
    }[step]
    status = FlywheelRunStatus(current=Iteration(number=1))
    result = StepResult(manifest=digest("m"), figures=figures)
    status, (event,) = accept(status, SPEC, step, Accepted(result, 1))
    assert status.current is not None
    return status.current, event.message


@pytest.mark.parametrize(("step", "what"), [("answer", "questions"), ("train", "examples")])
def test_counted_and_told(step: str, what: str) -> None:
    current, words = accepted(step, 7)
    assert (current.exam_over_long, current.training_over_long) == ((7, 0) if step == "answer" else (0, 7))
    assert words.endswith(f", 7 {what} did not fit the student")
    current, words = accepted(step, 0)
    assert "did not fit" not in words and not current.exam_over_long + current.training_over_long
