"""A staged order: what the untrained student finds hard comes last, also after a training was stopped and goes on."""

from __future__ import annotations

import pytest
import torch
from mlbed import STUDENT, Bed, training
from test_batches import examples
from torch.nn.functional import cross_entropy

from flywheel.api.request import Input, TrainParameters
from flywheel.api.result import TrainFigures
from flywheel.workspace.program import Attempt
from flywheel_student.model import load_student
from flywheel_trainer.difficulty import difficulties, mean_losses

FIRST, SECOND = "runs/test/r/iter-2/train/a1", "runs/test/r/iter-2/train/a2"


def test_difficulty_is_the_mean_loss_of_the_answers_tokens() -> None:
    student = load_student(STUDENT)
    expected: list[float] = []
    for one in examples():
        with torch.inference_mode():
            logits = student.model(input_ids=torch.tensor([one.ids[:-1]])).logits[0]
        counts = torch.tensor(one.weights[1:], dtype=torch.bool)
        expected.append(cross_entropy(logits[counts], torch.tensor(one.ids[1:])[counts]).item())
    assert mean_losses(student, examples(), batch_size=4) == pytest.approx(expected, rel=1e-5)


def test_what_an_earlier_attempt_found_is_taken_where_the_examples_are_the_same(bed: Bed) -> None:
    ids, folder = [str(place) for place in range(6)], "runs/test/r/iter-3/train"
    bed.workspace.write_jsonl(f"{folder}/a1/difficulty.jsonl", [{"id": one, "loss": float(one)} for one in ids])

    def found(number: int, of: list[str]) -> list[float]:
        parameters = training(bed, resume=f"{folder}/a1", order="Staged")
        attempt = Attempt(bed.request(f"{folder}/a{number}", parameters, []), bed.workspace)
        return difficulties(attempt, TrainParameters.model_validate(parameters), STUDENT, of, examples())

    assert found(2, ids) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert [line["loss"] for line in bed.lines(f"{folder}/a2/difficulty.jsonl")] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert found(3, list(reversed(ids))) != [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "other examples: measured"


def test_a_stopped_staged_training_goes_on_with_the_same_batches(bed: Bed, curriculum: Input, data: Input) -> None:
    staged = training(bed, order="Staged", maxSteps=24)  # 96 examples: two epochs of 12 batches, 4 of each stage
    bed.terminated("flywheel_trainer.train", FIRST, staged, [curriculum, data])

    second, log = bed.run("flywheel_trainer.train", SECOND, staged | {"resume": FIRST}, [curriculum, data])
    assert isinstance(second.figures, TrainFigures) and 0 < second.figures.resumed_at < 24
    assert "progress train difficulty" not in log, "read, not measured again"
    assert bed.lines(f"{SECOND}/order.jsonl") == bed.lines(f"{FIRST}/order.jsonl")
    hard = {line["id"]: line["loss"] for line in bed.lines(f"{SECOND}/difficulty.jsonl")}
    assert len(hard) == 96
    batches = [[hard[one] for one in batch["ids"]] for batch in bed.lines(f"{SECOND}/order.jsonl")]
    for epoch in (batches[:12], batches[12:]):
        easy, middle, last = ([loss for batch in epoch[at : at + 4] for loss in batch] for at in (0, 4, 8))
        assert max(easy) <= min(middle) and max(middle) <= min(last)
