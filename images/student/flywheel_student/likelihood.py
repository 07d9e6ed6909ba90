"""Answers by likelihood: each label's canonical answer is scored after the prompt, and the likeliest wins.

Every answer parses, so this is the fairest way to ask a model that was never trained on the format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from transformers import DynamicCache

from flywheel.data.tokens import TaskTokens
from flywheel_student.batches import Ids, in_batches, pad_left, shared_start
from flywheel_student.freeform import Reply
from flywheel_student.model import Student

# Below this, a prefill of its own costs more than it saves.
_SHARED = 32


def choose_label(
    student: Student, tokens: TaskTokens, prompts: Sequence[Ids], batch_size: int, done: Callable[[int], None]
) -> list[Reply]:
    """One reply per prompt: the answer whose tokens have the largest sum of log-probabilities."""
    answers = tokens.label_answers()
    # What all answers begin with changes no ranking; it is read once, with the prompt.
    head = shared_start(list(answers.values()))
    tails = [ids[len(head) :] for ids in answers.values()]
    room = (student.context or 1 << 30) - max(len(ids) for ids in answers.values())
    asked = [place for place, prompt in enumerate(prompts) if len(prompt) <= room]
    done(len(prompts) - len(asked))
    rows = [prompts[place] + head for place in asked]
    shared = _shared_prefix(student, rows)
    scores = in_batches(rows, batch_size, lambda batch: _scores(student, batch, tails, shared), done)
    replies: list[Reply] = [("", None, "overLong")] * len(prompts)
    for place, row in zip(asked, scores, strict=True):
        label = list(answers)[row.index(max(row))]
        replies[place] = (tokens.decode(answers[label]), label, "ok")
    return replies


def _shared_prefix(student: Student, rows: list[Ids]) -> Ids:
    """What all prompts begin with (few-shot examples), where it is worth reading only once."""
    # One token stays, so that no row is empty after its prefix.
    prefix = shared_start(rows)[: min(len(row) for row in rows) - 1] if rows else []
    return prefix if len(prefix) >= _SHARED else []


@torch.inference_mode()
def _scores(student: Student, batch: list[Ids], tails: list[Ids], shared: Ids) -> list[list[float]]:
    """Log-probability of every tail after every row of the batch."""
    cache = DynamicCache()
    if shared:
        student.model(input_ids=torch.tensor([shared], device=student.device), past_key_values=cache, logits_to_keep=1)
        cache.batch_repeat_interleave(len(batch))
    ids, mask = pad_left([row[len(shared) :] for row in batch], student.pad_id, student.device)
    mask = torch.cat([mask.new_ones(len(batch), len(shared)), mask], dim=1)
    first = _forward(student, ids, mask, cache, keep=1)[:, -1]
    length = mask.shape[1]
    columns: list[torch.Tensor] = []
    for tail in tails:
        wanted = torch.tensor(tail, device=student.device)
        score = first[:, wanted[0]]
        if len(tail) > 1:
            rows = wanted[:-1].expand(len(batch), -1)
            seen = torch.cat([mask, mask.new_ones(rows.shape)], dim=1)
            later = _forward(student, rows, seen, cache, keep=0)
            score = score + later.gather(2, wanted[1:].expand(len(batch), -1).unsqueeze(2)).sum(dim=(1, 2))
            cache.crop(length)
        columns.append(score)
    return torch.stack(columns, dim=1).tolist()


def _forward(student: Student, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache, keep: int) -> torch.Tensor:
    """Log-probabilities after the given tokens; the cache takes them in."""
    # Positions count tokens, not padding, wherever the padding is.
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    output = student.model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=keep
    )
    return output.logits.float().log_softmax(dim=-1)
