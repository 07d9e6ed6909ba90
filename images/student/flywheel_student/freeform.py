"""Free-form answers: greedy, as served. Says how each answer ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from flywheel.api.item import State
from flywheel.data.tokens import TaskTokens, parse_answer
from flywheel_student.batches import Ids, in_batches, pad_left
from flywheel_student.model import Student

# Text, label and how it ended.
Reply = tuple[str, str | None, State]


def reply_to(
    student: Student, tokens: TaskTokens, prompts: Sequence[Ids], batch_size: int, done: Callable[[int], None]
) -> list[Reply]:
    """One reply per prompt. A prompt that leaves no room for an answer is not asked, and counted as over-long."""
    room = (student.context or 1 << 30) - tokens.max_new_tokens
    asked = [place for place, prompt in enumerate(prompts) if len(prompt) <= room]
    done(len(prompts) - len(asked))
    generated = in_batches([prompts[place] for place in asked], batch_size, lambda b: _greedy(student, tokens, b), done)
    replies: list[Reply] = [("", None, "overLong")] * len(prompts)
    for place, ids in zip(asked, generated, strict=True):
        replies[place] = _read(tokens, ids)
    return replies


@torch.inference_mode()
def _greedy(student: Student, tokens: TaskTokens, batch: list[Ids]) -> list[Ids]:
    ids, mask = pad_left(batch, student.pad_id, student.device)
    # Every setting is said here: the model's own generation_config must not decide.
    output = student.model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=tokens.max_new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=1.0,
        eos_token_id=tokens.stop_ids,
        pad_token_id=student.pad_id,
    )
    return output[:, ids.shape[1] :].tolist()


def _read(tokens: TaskTokens, ids: Ids) -> Reply:
    text = tokens.decode(ids)
    if not any(token in tokens.stop_ids for token in ids):
        return text, None, "cut"
    label = parse_answer(text, tokens.task)
    return text, label, "ok" if label is not None else "unparsable"
