"""Prompts in batches: sorted by length so that little is padded, padded on the left, answered in the order asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from typing import TypeVar

import torch

Ids = list[int]
Result = TypeVar("Result")
Row = TypeVar("Row", bound=Sized)


def in_batches(
    prompts: Sequence[Row], size: int, work: Callable[[list[Row]], list[Result]], done: Callable[[int], None]
) -> list[Result]:
    """Results of `work` over batches of prompts, in the order of the prompts."""
    results: dict[int, Result] = {}
    for places in _by_length(prompts, size):
        results.update(zip(places, work([prompts[place] for place in places]), strict=True))
        done(len(places))
    return [results[place] for place in range(len(prompts))]


def _by_length(prompts: Sequence[Sized], size: int) -> Iterator[list[int]]:
    # Longest first: a batch that is too large for the memory fails at once, not after an hour.
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def pad_left(rows: Sequence[Ids], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask of a batch."""
    width = max(len(row) for row in rows)
    ids = [[pad_id] * (width - len(row)) + row for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def shared_start(rows: Sequence[Ids]) -> Ids:
    """The ids that all rows begin with."""
    first, last = min(rows), max(rows)
    differs = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, min(len(first), len(last)))]
