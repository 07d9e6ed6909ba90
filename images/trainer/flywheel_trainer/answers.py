"""NeMo's model, asked for the logits of the answers only.

The loss counts nothing else, and the output layer over a whole prompt is a third of a small student's work.
"""

from __future__ import annotations

import time

import torch
from nemo.collections import llm
from torch.nn.functional import cross_entropy

from flywheel_trainer.batches import IGNORED


class AnswersOnly(llm.HFAutoModelForCausalLM):
    """Its batches are padded on the left: the answers are the last columns, as many as `labels` has."""

    def training_step(
        self, batch: dict[str, torch.Tensor], batch_idx: int | None = None, context_parallel: bool = False
    ) -> torch.Tensor:
        """The mean loss of the labels that count, by their weights, and what NeMo keeps count of."""
        labels, weights = batch.pop("labels"), batch.pop("weights", None)
        logits = self.forward(batch, num_logits_to_keep=labels.shape[1]).logits
        if weights is None:
            loss = self.loss_fn(logits.flatten(0, 1), labels.flatten())
        else:
            loss = weighted_mean(logits, labels, weights)
        self.timestamp = self.timestamp or time.perf_counter()
        self.loss_buffer.append(loss.item())
        self.n_tok += int(batch["attention_mask"].sum())
        return loss


def weighted_mean(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Loss of the tokens, each counted as often as its weight says; what is ignored weighs nothing."""
    losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()
