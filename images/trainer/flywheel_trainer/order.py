"""Which example is in which batch: decided once, from the seed, before training. Pure.

A resumed attempt reads the same order and goes on at its place, so its later batches are those of an uninterrupted run.
Must not know how hard an example is found to be (difficulty.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from random import Random

# Batches are made of neighbours in length from as many examples as this many batches hold: less padding, and still
# a fresh mix every time.
_WINDOW = 8
_EPOCHS = 3
_STAGES = 3


def total_steps(examples: int, batch_size: int, epochs: int | None, max_steps: int | None) -> int:
    """Optimiser steps of a training: whole epochs, at most max_steps; three epochs when neither is said."""
    if epochs is None and max_steps is not None:
        return max_steps
    steps = math.ceil(examples * (epochs or _EPOCHS) / batch_size)
    return steps if max_steps is None else min(steps, max_steps)


def easy_to_hard(difficulties: Sequence[float]) -> list[list[int]]:
    """Places of the examples in stages of equal size: easy, middle, hard. Fewer examples make fewer stages."""
    count = len(difficulties)
    order = sorted(range(count), key=lambda place: difficulties[place])
    cuts = [count * stage // _STAGES for stage in range(_STAGES + 1)]
    return [order[begin:end] for begin, end in pairwise(cuts) if begin < end]


def batch_order(
    lengths: Sequence[int], batch_size: int, steps: int, seed: int, stages: Sequence[Sequence[int]] | None = None
) -> list[list[int]]:
    """Places of the examples in every batch. Every example once before any twice; all batches are full.

    Each epoch goes through the stages one after the other; only a batch in which two stages meet has examples of both.
    """
    stages = stages or [range(len(lengths))]
    places: list[int] = []
    for epoch in range(math.ceil(steps * batch_size / len(lengths))):
        chance = Random(f"{seed}/{epoch}")  # noqa: S311  repeatable, not secret
        for stage in stages:
            order = sorted(stage)
            chance.shuffle(order)
            places += order
    full = [places[start : start + batch_size] for start in range(0, steps * batch_size, batch_size)]
    batches: list[list[int]] = []
    for together in _windows(full, stages):
        window = sorted((place for batch in together for place in batch), key=lambda place: lengths[place])
        chunks = [window[at : at + batch_size] for at in range(0, len(window), batch_size)]
        Random(f"{seed}/window/{len(batches) * batch_size}").shuffle(chunks)  # noqa: S311
        batches += chunks
    return batches


def _windows(batches: Sequence[list[int]], stages: Sequence[Sequence[int]]) -> Iterator[list[list[int]]]:
    """Batches whose examples may be exchanged: neighbours in one stage. Where two stages meet, a batch is alone."""
    stage_of = {place: number for number, stage in enumerate(stages) for place in stage}

    def kind(numbered: tuple[int, list[int]]) -> int:
        number, batch = numbered
        found = {stage_of[place] for place in batch}
        return found.pop() if len(found) == 1 else -1 - number

    for _, alike in groupby(enumerate(batches), key=kind):
        group = [batch for _, batch in alike]
        yield from (group[start : start + _WINDOW] for start in range(0, len(group), _WINDOW))


def shuffled_labels(count: int, seed: int) -> list[int]:
    """For the control with shuffled labels: which example each example takes its answer from."""
    order = list(range(count))
    Random(f"{seed}/labels").shuffle(order)  # noqa: S311
    return order
