"""Batching, padding and shared prefixes change no answer."""

from __future__ import annotations

import pytest
from mlbed import ROOT, TASK, Bed, make_items

from flywheel.api.task import PreparedTask
from flywheel.data.tokens import TaskTokens

PREPARED = PreparedTask(task=TASK, template=(ROOT / "prompts" / "task.j2").read_text())
ITEMS = make_items(13, 50)


@pytest.fixture(scope="module")
def student(bed: Bed):
    from flywheel_student.model import load_student, model_folder

    return load_student(model_folder(bed.model))


@pytest.fixture(scope="module")
def tokens(student) -> TaskTokens:
    return TaskTokens(PREPARED, student.tokenizer)


def test_greedy_in_batches_is_greedy_one_by_one(student, tokens: TaskTokens) -> None:
    from flywheel_student.freeform import reply_to

    prompts = [tokens.encode_prompt(item.input) for item in ITEMS]
    assert len({len(prompt) for prompt in prompts}) > 5
    together, alone = (reply_to(student, tokens, prompts, size, lambda _: None) for size in (5, 1))
    assert together == alone


@pytest.mark.parametrize("shots", [0, 3])
def test_likelihood_is_the_sum_over_the_answers_tokens(student, tokens: TaskTokens, shots: int) -> None:
    import torch

    from flywheel_student.likelihood import choose_label

    shown = [(item.input, item.output) for item in make_items(shots, 60)]
    prompts = [tokens.encode_prompt(item.input, shown) for item in ITEMS]
    replies = choose_label(student, tokens, prompts, 5, lambda _: None)
    for prompt, (_, label, state) in zip(prompts, replies, strict=True):
        plain: dict[str, float] = {}
        for name, answer in tokens.label_answers().items():
            with torch.inference_mode():
                logits = student.model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
            scored = zip(range(len(prompt) - 1, len(prompt) + len(answer) - 1), answer, strict=True)
            plain[name] = sum(float(logits[place, token]) for place, token in scored)
        assert label is not None and state == "ok"
        assert plain[label] == pytest.approx(max(plain.values()), abs=1e-3)


def test_a_question_that_leaves_no_room_is_over_long(student, tokens: TaskTokens) -> None:
    from flywheel_student.freeform import reply_to
    from flywheel_student.likelihood import choose_label

    long = tokens.encode_prompt({"code": "x = 1\n" * 400, "review": ""})
    short = tokens.encode_prompt(ITEMS[0].input)
    for way in (reply_to, choose_label):
        states = [state for _, _, state in way(student, tokens, [long, short], 2, lambda _: None)]
        assert states[0] == "overLong" and states[1] != "overLong"


def test_ids_of_the_training_prefix_are_the_ids_at_validation(tokens: TaskTokens) -> None:
    for item in ITEMS:
        prompt = tokens.encode_prompt(item.input)
        example = tokens.encode_example(item.input, item.output)
        assert example.ids[: len(prompt)] == prompt and sum(example.weights) == len(example.ids) - len(prompt)


def test_a_label_that_weighs_more_is_found_among_the_students_own_tokens(tokens: TaskTokens) -> None:
    for item in ITEMS:
        plain, example = (tokens.encode_example(item.input, item.output, weight) for weight in (1.0, 5.0))
        assert example.ids == plain.ids
        heavy = [token for token, weight in zip(example.ids, example.weights, strict=True) if weight == 5.0]
        assert tokens.decode(heavy).strip('"') == item.output["issue_type"]
