"""Batches as the trainer makes them give the loss and the gradients of their examples one by one."""

from __future__ import annotations

import pytest
import torch
from mlbed import STUDENT, make_items
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from flywheel.data.tokens import Encoded
from flywheel_trainer.batches import collate


def examples() -> list[Encoded]:
    """Prompts and answers of different lengths; the last is an answer longer than the others' prompts."""
    made: list[Encoded] = []
    for place, item in enumerate(make_items(5, seed=3)):
        ids = [5 + byte for byte in str(item.input).encode()[: 20 * (place + 1)]]
        counted = 3 + 2 * place
        made.append(Encoded(ids=ids, mask=[0] * (len(ids) - counted) + [1] * counted))
    return [*made, Encoded(ids=list(range(9, 59)), mask=[0] * 5 + [1] * 45)]


def test_padding_and_leaving_out_the_prompts_logits_change_nothing() -> None:
    model = AutoModelForCausalLM.from_pretrained(STUDENT, torch_dtype=torch.float32)
    watched = model.model.layers[0].mlp.up_proj.weight
    losses = []
    for one in examples():
        logits = model(input_ids=torch.tensor([one.ids[:-1]])).logits[0]
        wanted = torch.tensor(one.ids[1:])
        counts = torch.tensor(one.mask[1:], dtype=torch.bool)
        losses.append(cross_entropy(logits[counts], wanted[counts], reduction="none"))
    one_by_one = torch.cat(losses).mean()
    (expected,) = torch.autograd.grad(one_by_one, watched)

    batch = collate(examples(), pad_id=0)
    labels = batch.pop("labels")
    logits = model(**batch, logits_to_keep=labels.shape[1]).logits
    loss = cross_entropy(logits.flatten(0, 1), labels.flatten())
    (found,) = torch.autograd.grad(loss, watched)
    assert loss.item() == pytest.approx(one_by_one.item(), rel=1e-5)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-6)
