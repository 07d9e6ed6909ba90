"""The training data as NeMo reads it: batches in the recorded order, from where an earlier attempt stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import lightning.pytorch as pl
import torch

from flywheel.data.tokens import Encoded

Batch = dict[str, torch.Tensor]
IGNORED = -100  # no loss at these labels


class Batches:
    """One pass over the batches that are left; sized, so that Lightning knows where the training ends."""

    def __init__(self, examples: Sequence[Encoded], order: Sequence[Sequence[int]], pad_id: int) -> None:
        self._examples = examples
        self._order = order
        self._pad_id = pad_id

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        for places in self._order:
            yield collate([self._examples[place] for place in places], self._pad_id)


class TrainingData(pl.LightningDataModule):
    """Batches, and their state in a checkpoint: how many are done, and the state of the random generators."""

    def __init__(self, examples: Sequence[Encoded], order: Sequence[Sequence[int]], pad_id: int) -> None:
        super().__init__()
        self.position = self.resumed_at = 0
        # NeMo asks for these two.
        self.micro_batch_size = len(order[0])
        self.seq_length = max(len(example) for example in examples)
        self._examples = examples
        self._order = order
        self._pad_id = pad_id

    def train_dataloader(self) -> Batches:
        """What is left of the order."""
        return Batches(self._examples, self._order[self.position :], self._pad_id)

    def state_dict(self) -> dict[str, Any]:
        """Recorded in every checkpoint."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"position": self.position, "rng": torch.get_rng_state(), "cuda_rng": cuda}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning calls this before the first batch is asked for."""
        self.position = self.resumed_at = state_dict["position"]
        torch.set_rng_state(state_dict["rng"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state_dict["cuda_rng"])


def collate(examples: Sequence[Encoded], pad_id: int) -> Batch:
    """A batch padded on the left, so that the answers end it: input_ids, attention_mask and position_ids [rows, width].

    labels [rows, longest answer] belong to the last columns; they are shifted here, because NeMo's loss does not.
    weights are there, as wide as labels, where some token counts more than once.
    """
    width = max(len(example) for example in examples) - 1
    answer = max(len(example) - _begin(example) for example in examples)
    ids = torch.full((len(examples), width), pad_id)
    mask = torch.zeros((len(examples), width), dtype=torch.long)
    labels = torch.full((len(examples), answer), IGNORED)
    weights = torch.zeros((len(examples), answer))
    for row, example in enumerate(examples):
        length = len(example.ids) - 1
        ids[row, -length:] = torch.tensor(example.ids[:-1])
        mask[row, -length:] = 1
        kept = min(answer, length)
        weights[row, -kept:] = torch.tensor(example.weights[-kept:])
        labels[row, -kept:] = torch.tensor(example.ids[-kept:]).masked_fill(weights[row, -kept:] == 0, IGNORED)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    batch = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "labels": labels}
    return batch | ({"weights": weights} if weights.max() > 1 else {})


def _begin(example: Encoded) -> int:
    """Place of the first token that counts."""
    return next(place for place, weight in enumerate(example.weights) if weight)
