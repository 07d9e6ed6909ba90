"""How hard each example is for the student that was trained on nothing: what a staged order goes by.

Must not know what the order is.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from flywheel.api.item import Difficulty
from flywheel.api.request import TrainParameters
from flywheel.data.tokens import Encoded
from flywheel.workspace.program import Attempt
from flywheel_student.batches import in_batches
from flywheel_student.model import Student, load_student
from flywheel_student.progress import Progress
from flywheel_trainer.batches import IGNORED, collate

FILE = "difficulty.jsonl"


def difficulties(
    attempt: Attempt, parameters: TrainParameters, model: Path, ids: Sequence[str], examples: Sequence[Encoded]
) -> list[float]:
    """The base model's mean loss per answer token on every example, recorded in difficulty.jsonl.

    An attempt that goes on from another takes its record: measured anew, a tie may fall the other way, and with other
    batches the checkpoint would be useless.
    """
    found = _recorded(attempt, parameters.resume, ids)
    if found is None:
        losses = mean_losses(load_student(model), examples, parameters.batch_size)
        gc.collect()
        torch.cuda.empty_cache()  # the training loads a model of its own
        found = [Difficulty(id=one, loss=loss) for one, loss in zip(ids, losses, strict=True)]
    attempt.workspace.write_jsonl(attempt.path(FILE), [one.to_json_object() for one in found])
    return [one.loss for one in found]


def _recorded(attempt: Attempt, earlier: str | None, ids: Sequence[str]) -> list[Difficulty] | None:
    """What an earlier attempt found, where it was given the same examples."""
    if earlier is None or not attempt.workspace.exists(f"{earlier}/{FILE}"):
        return None
    found = [Difficulty.model_validate(line) for line in attempt.workspace.read_jsonl(f"{earlier}/{FILE}")]
    return found if [one.id for one in found] == list(ids) else None


def mean_losses(student: Student, examples: Sequence[Encoded], batch_size: int) -> list[float]:
    """Mean loss per answer token of each example."""
    progress = Progress("train", "difficulty", len(examples))
    return in_batches(examples, batch_size, lambda batch: _losses(student, batch), progress.advance)


@torch.inference_mode()
def _losses(student: Student, examples: Sequence[Encoded]) -> list[float]:
    batch = {name: value.to(student.device) for name, value in collate(examples, student.pad_id).items()}
    labels = batch.pop("labels")
    batch.pop("weights", None)  # how hard an answer is does not depend on how it is taught
    logits = student.model(**batch, logits_to_keep=labels.shape[1]).logits.float()
    losses = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    return (losses.sum(dim=1) / (labels != IGNORED).sum(dim=1)).tolist()
