"""Batches as the trainer makes them give the loss and the gradients of their examples one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mlbed import STUDENT, make_items
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from flywheel.data.tokens import Encoded
from flywheel_trainer.answers import AnswersOnly, weighted_mean
from flywheel_trainer.batches import IGNORED, collate


def examples() -> list[Encoded]:
    """Prompts and answers of different lengths; the last is an answer longer than the others' prompts."""
    made: list[Encoded] = []
    for place, item in enumerate(make_items(5, seed=3)):
        ids = [5 + byte for byte in str(item.input).encode()[: 20 * (place + 1)]]
        counted = 3 + 2 * place
        made.append(Encoded(ids=ids, weights=[0.0] * (len(ids) - counted) + [1.0] * counted))
    return [*made, Encoded(ids=list(range(9, 59)), weights=[0.0] * 5 + [1.0] * 45)]


def test_padding_and_leaving_out_the_prompts_logits_change_nothing() -> None:
    model = AutoModelForCausalLM.from_pretrained(STUDENT, torch_dtype=torch.float32)
    watched = model.model.layers[0].mlp.up_proj.weight
    losses = []
    for one in examples():
        logits = model(input_ids=torch.tensor([one.ids[:-1]])).logits[0]
        wanted = torch.tensor(one.ids[1:])
        counts = torch.tensor(one.weights[1:], dtype=torch.bool)
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


def heavier(one: Encoded) -> Encoded:
    """The last token but one counts threefold."""
    return replace(one, weights=[*one.weights[:-2], 3.0, one.weights[-1]])


def test_a_weight_is_as_often_as_a_token_counts() -> None:
    torch.manual_seed(0)
    batch = collate([heavier(one) for one in examples()], pad_id=0)
    labels, weights = batch["labels"], batch["weights"]
    logits = torch.randn(*labels.shape, 300)
    often = [
        (place, label)
        for place, (label, weight) in enumerate(zip(labels.flatten().tolist(), weights.flatten().tolist(), strict=True))
        for _ in range(int(weight))
    ]
    assert len(often) == sum(label != IGNORED for label in labels.flatten().tolist()) + 2 * len(labels)
    repeated = logits.flatten(0, 1)[[place for place, _ in often]]
    expected = cross_entropy(repeated, torch.tensor([label for _, label in often]))
    assert weighted_mean(logits, labels, weights).item() == pytest.approx(expected.item(), rel=1e-6)


def test_without_a_weight_the_loss_is_the_same_to_the_bit() -> None:
    """As it was before there were weights: the same batch, NeMo's own loss."""
    model = AnswersOnly(model_name=str(STUDENT), device_map="cpu", default_dtype=torch.float32)
    model.configure_model()
    plain = collate(examples(), pad_id=0)
    assert set(plain) == {"input_ids", "attention_mask", "position_ids", "labels"}
    labels = plain["labels"]
    inputs = {name: value for name, value in plain.items() if name != "labels"}
    with torch.no_grad():
        logits = model.model(**inputs, logits_to_keep=labels.shape[1]).logits
        expected = cross_entropy(logits.flatten(0, 1), labels.flatten())
        assert torch.equal(model.training_step(dict(plain), 0), expected)
        found = model.training_step(collate([heavier(one) for one in examples()], pad_id=0), 0)
    assert found.item() != expected.item()
