"""The student's steps over a workspace: what each arm answers, what is compared, and what is refused."""

from __future__ import annotations

import pytest
from mlbed import LABELS, TASK, Bed

from flywheel.api.item import Answer, Probe
from flywheel.api.request import Input
from flywheel.api.result import AnswerFigures, MeasureFigures, StepResult
from flywheel.api.task import PreparedTask
from flywheel.data.tokens import TaskTokens
from flywheel.statistics.paired import recall_differences
from flywheel.workspace.program import BadInputError, TryLaterError

OPENING = {"folder": "openings/test", "share": "0.05", "alpha": "0.05", "most": 1}
START = {
    "step": "validate", "pool": "validation", "untrainedArms": True, "preflight": {"targetModules": ["all-linear"]}
}  # fmt: skip
UNTRAINED = {"base", "likelihood", "fewShot", "majority", "bagOfWords"}


def answers(bed: Bed, path: str) -> list[Answer]:
    return [Answer.model_validate(line) for line in bed.lines(path)]


def figures(result: StepResult) -> MeasureFigures:
    assert isinstance(result.figures, MeasureFigures)
    return result.figures


@pytest.fixture(scope="session")
def baseline(bed: Bed, curriculum: Input) -> StepResult:
    from flywheel_student.measure import measure

    return bed.carry_out(measure, "runs/test/r/iter-0/validate/a1", START | {"modelPath": bed.model}, [curriculum])


@pytest.fixture(scope="session")
def tested(bed: Bed, curriculum: Input, trained: tuple[StepResult, str]) -> StepResult:
    from flywheel_student.measure import measure

    parameters = {
        "step": "test",
        "modelPath": bed.model,
        "pool": "test",
        "untrainedArms": True,
        "probes": 5,
        "blanked": 40,
    }
    parameters |= {"recallVersus": ["likelihood", "fewShot"], "opening": OPENING}
    inputs = [curriculum, bed.input(trained[0], "adapter", "adapter")]
    return bed.carry_out(measure, "runs/test/r/iter-1/test/a1", parameters, inputs)


def test_the_exam_is_sat_in_order_and_scored(bed: Bed, curriculum: Input, exam: Input) -> None:
    output = "runs/test/r/iter-1/answer/a1"
    parameters = {"step": "answer", "modelPath": bed.model}
    result, log = bed.run("flywheel_student.answer", output, parameters, [curriculum, exam])
    lines = answers(bed, f"{output}/answers.jsonl")
    assert [line.id for line in lines] == [f"q{place}" for place in range(20)]
    assert isinstance(result.figures, AnswerFigures) and result.figures.items == 20
    without_label = [line for line in lines if line.label is None]
    assert len(without_label) == result.figures.score.unparsable > 0, "an untrained student does not know the format"
    assert "progress answer exam 20/20" in log


def test_every_untrained_arm_answers_every_item(bed: Bed, baseline: StepResult) -> None:
    arms = figures(baseline).arms
    assert set(arms) == UNTRAINED
    assert arms["majority"].accuracy == 0.25
    assert arms["bagOfWords"].accuracy > 0.9, "the review names the label"
    for arm in ("likelihood", "fewShot", "bagOfWords"):
        lines = answers(bed, f"{baseline.path}/answers/{arm}.jsonl")
        assert len(lines) == 48 and {line.state for line in lines} == {"ok"}


def test_lora_targets_that_the_base_model_lacks_are_named_before_it_answers(bed: Bed, curriculum: Input) -> None:
    from flywheel_student.measure import measure

    parameters = START | {"modelPath": bed.model, "preflight": {"targetModules": ["q_proj", "c_attn"]}}
    with pytest.raises(TryLaterError, match="no linear layer c_attn; it has down_proj, gate_proj") as raised:
        bed.carry_out(measure, "runs/test/r/iter-0/validate/a2", parameters, [curriculum])
    assert raised.value.reason == "LoraTargets"
    assert not bed.workspace.exists("runs/test/r/iter-0/validate/a2/answers")


def test_the_trained_student_is_compared_with_recorded_arms(
    bed: Bed, curriculum: Input, baseline: StepResult, trained: tuple[StepResult, str]
) -> None:
    from flywheel_student.measure import measure

    comparisons = [{"name": arm, "input": "baseline", "arm": arm} for arm in sorted(UNTRAINED)]
    parameters = {
        "step": "validate",
        "modelPath": bed.model,
        "pool": "validation",
        "untrainedArms": False,
        "comparisons": comparisons,
    }
    inputs = [
        curriculum,
        bed.input(trained[0], "adapter", "adapter"),
        bed.input(baseline, "baseline", "answers"),
    ]
    result = bed.carry_out(measure, "runs/test/r/iter-1/validate/a1", parameters, inputs)
    candidate = figures(result).arms["candidate"]
    assert candidate.accuracy > 0.5, "the review names the label: a trained student reads it"
    assert figures(result).differences["majority"].low > 0
    assert set(figures(result).differences) == UNTRAINED


def test_a_test_records_probes_on_which_base_and_candidate_disagree(bed: Bed, tested: StepResult) -> None:
    probes = [Probe.model_validate(line) for line in bed.lines(f"{tested.path}/probes.jsonl")]
    assert figures(tested).probes == len(probes) == 5
    assert all(probe.candidate != probe.base for probe in probes)
    assert set(figures(tested).arms) == UNTRAINED | {"candidate"}


def test_what_an_adapter_does_not_read_it_does_not_miss(bed: Bed, tested: StepResult) -> None:
    """The review names the label; the code beside it is made up of numbers."""
    falls = figures(tested).blanked
    assert set(falls) == {"code", "review"} and falls["review"].low > 0 > falls["code"].low
    pool = {line["id"] for line in bed.lines("curricula/test/c/r1/pools/test/items.jsonl")}
    asked = [[line.id for line in answers(bed, f"{tested.path}/blanked/{name}.jsonl")] for name in ("code", "review")]
    assert asked[0] == asked[1] and len(set(asked[0])) == 40 and set(asked[0]) < pool


def test_a_test_bounds_the_loss_of_recall_of_each_label(bed: Bed, tested: StepResult) -> None:
    """By the worst of the arms asked for: the same answers, read again here."""
    candidate, *others = (
        answers(bed, f"{tested.path}/answers/{arm}.jsonl") for arm in ("candidate", "likelihood", "fewShot")
    )
    truth = {line.id: line.truth for line in candidate}
    labels = [{line.id: line.label for line in lines} for lines in (candidate, *others)]
    found = [recall_differences(truth, labels[0], other, level=0.95) for other in labels[1:]]
    wanted = [min(each[label].low for each in found) for label in LABELS]
    assert figures(tested).recall_lows == pytest.approx(wanted, abs=1e-4)


def test_a_pool_that_is_spent_is_not_opened_by_another_run(
    bed: Bed, curriculum: Input, tested: StepResult, trained: tuple[StepResult, str]
) -> None:
    from flywheel_student.measure import measure

    assert (figures(tested).openings, figures(tested).spent) == (1, 0.05)
    parameters = {"step": "test", "modelPath": bed.model, "pool": "test", "untrainedArms": True, "opening": OPENING}
    inputs = [curriculum, bed.input(trained[0], "adapter", "adapter")]
    refused = bed.carry_out(measure, "runs/test/other/iter-1/test/a1", parameters, inputs)
    assert figures(refused).arms == {} and (figures(refused).openings, figures(refused).spent) == (1, 0.05)
    assert not bed.workspace.exists("runs/test/other/iter-1/test/a1/answers")


def test_a_later_test_takes_the_untrained_answers_of_the_first(
    bed: Bed, curriculum: Input, tested: StepResult, trained: tuple[StepResult, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flywheel_student.arms import Sitting
    from flywheel_student.measure import measure

    def not_again(*_: object) -> None:
        raise AssertionError("an untrained arm was asked again")

    monkeypatch.setattr(Sitting, "untrained", not_again)
    parameters = {"step": "test", "modelPath": bed.model, "pool": "test", "untrainedArms": True}
    inputs = [curriculum, bed.input(trained[0], "adapter", "adapter"), bed.input(tested, "reuse", "answers")]
    result = bed.carry_out(measure, "runs/test/r/iter-2/test/a1", parameters, inputs)
    assert figures(result).arms == figures(tested).arms
    assert figures(result).differences == figures(tested).differences


def test_an_adapter_trained_on_another_prompt_is_refused(bed: Bed, trained: tuple[StepResult, str]) -> None:
    from flywheel_student.contract import check_contract, contract_of
    from flywheel_student.model import load_tokenizer, model_folder

    adapter, folder = bed.workspace.local(f"{trained[0].path}/adapter"), model_folder(bed.model)
    other = TaskTokens(PreparedTask(task=TASK, template="{{ fields[0].value }}"), load_tokenizer(folder))
    with pytest.raises(BadInputError, match="template"):
        check_contract(adapter, contract_of(other, folder, dtype=""))


def test_a_missing_model_is_bad_input(bed: Bed, curriculum: Input, exam: Input) -> None:
    output = "runs/test/r/iter-1/answer/a2"
    parameters = {"step": "answer", "modelPath": "/nowhere/none"}
    process = bed.start("flywheel_student.answer", output, parameters, [curriculum, exam])
    process.communicate()
    assert process.returncode == 64
    error = bed.result(output).error
    assert error is not None and error.reason == "ModelMissing" and "/nowhere/none" in error.message
