"""Which example is in which batch: decided once, from the seed, before training. Pure.

A resumed attempt reads the same order and goes on at its place, so its later batches are those of an uninterrupted run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

# Batches are made of neighbours in length from as many examples as this many batches hold: less padding, and still
# a fresh mix every time.
_WINDOW = 8
_EPOCHS = 3


def total_steps(examples: int, batch_size: int, epochs: int | None, max_steps: int | None) -> int:
    """Optimiser steps of a training: whole epochs, at most max_steps; three epochs when neither is said."""
    if epochs is None and max_steps is not None:
        return max_steps
    steps = math.ceil(examples * (epochs or _EPOCHS) / batch_size)
    return steps if max_steps is None else min(steps, max_steps)


def batch_order(lengths: Sequence[int], batch_size: int, steps: int, seed: int) -> list[list[int]]:
    """Places of the examples in every batch. Every example once before any twice; all batches are full."""
    epochs = math.ceil(steps * batch_size / len(lengths))
    places: list[int] = []
    for epoch in range(epochs):
        order = list(range(len(lengths)))
        Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311  repeatable, not secret
        places += order
    places = places[: steps * batch_size]
    batches: list[list[int]] = []
    for start in range(0, len(places), _WINDOW * batch_size):
        window = sorted(places[start : start + _WINDOW * batch_size], key=lambda place: lengths[place])
        chunks = [window[at : at + batch_size] for at in range(0, len(window), batch_size)]
        Random(f"{seed}/window/{start}").shuffle(chunks)  # noqa: S311
        batches += chunks
    return batches


def shuffled_labels(count: int, seed: int) -> list[int]:
    """For the control with shuffled labels: which example each example takes its answer from."""
    order = list(range(count))
    Random(f"{seed}/labels").shuffle(order)  # noqa: S311
    return order
