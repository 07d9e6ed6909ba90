"""The student's programs, run as processes over a workspace."""

from __future__ import annotations

from mlbed import Bed

from flywheel.api.item import Answer
from flywheel.api.request import Input
from flywheel.api.result import AnswerFigures, MeasureFigures


def answers(bed: Bed, path: str) -> list[Answer]:
    return [Answer.model_validate(line) for line in bed.lines(path)]


def test_the_exam_is_sat_in_order_and_scored(bed: Bed, curriculum: Input, exam: Input) -> None:
    parameters = {"step": "answer", "modelPath": bed.model}
    output = "runs/test/r/iter-1/answer/a1"
    result, log = bed.run("flywheel_student.answer", output, parameters, [curriculum, exam])
    lines = answers(bed, f"{output}/answers.jsonl")
    assert [line.id for line in lines] == [f"q{place}" for place in range(20)]
    assert isinstance(result.figures, AnswerFigures) and result.figures.items == 20
    assert "progress answer exam 20/20" in log


def test_every_untrained_arm_answers_every_item(bed: Bed, curriculum: Input) -> None:
    output = "runs/test/r/iter-0/validate/a1"
    parameters = {"step": "validate", "modelPath": bed.model, "pool": "validation", "untrainedArms": True}
    result, _ = bed.run("flywheel_student.measure", output, parameters, [curriculum])
    assert isinstance(result.figures, MeasureFigures)
    assert set(result.figures.arms) == {"base", "likelihood", "fewShot", "majority"}
    assert result.figures.arms["majority"].accuracy == 0.25
    assert {line.state for line in answers(bed, f"{output}/answers/likelihood.jsonl")} == {"ok"}
    assert all(len(answers(bed, f"{output}/answers/{arm}.jsonl")) == 48 for arm in result.figures.arms)


def test_a_missing_model_is_bad_input(bed: Bed, curriculum: Input, exam: Input) -> None:
    output = "runs/test/r/iter-1/answer/a2"
    process = bed.start(
        "flywheel_student.answer", output, {"step": "answer", "modelPath": "/nowhere/none"}, [curriculum, exam]
    )
    process.communicate()
    assert process.returncode == 64
    error = bed.result(output).error
    assert error is not None and error.reason == "ModelMissing" and "/nowhere/none" in error.message
