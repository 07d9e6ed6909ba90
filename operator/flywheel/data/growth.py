"""The training set of an iteration: all teacher examples so far, and replayed seed items beside them.

Deterministic by seed. Must not know files or the teacher.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from flywheel.api.item import Example, Item


def training_set(
    examples: Sequence[Example], pool: Sequence[Item], label_path: str, replay: Decimal, seed: int, iteration: int
) -> list[Example]:
    """Examples and at most `replay` of the whole from the pool, shuffled."""
    taken = {example.id for example in examples}
    free = [item for item in pool if item.id not in taken]
    replayed = [
        Example(id=item.id, input=item.input, output=item.output, origin="replay", iteration=iteration)
        for item in balanced(free, label_path, replay_count(len(examples), replay, len(free)), seed)
    ]
    return sorted([*examples, *replayed], key=lambda example: drawn(seed, "order", iteration, example.id))


def control_set(pool: Sequence[Item], count: int, seed: int, iteration: int) -> list[Example]:
    """As many items as a training set has, drawn from the pool: what the same steps teach without a teacher.

    Where the pool holds fewer, none comes again before all were there.
    """
    items = sorted(pool, key=lambda item: drawn(seed, "control", item.id))
    taken = [items[place % len(items)] for place in range(count if items else 0)]
    found = [
        Example(id=item.id, input=item.input, output=item.output, origin="replay", iteration=iteration)
        for item in taken
    ]
    return sorted(found, key=lambda example: drawn(seed, "order", iteration, example.id))


def replay_count(examples: int, replay: Decimal, available: int) -> int:
    """The most items such that they are at most `replay` of the set."""
    return available if replay >= 1 else min(available, int(examples * replay / (1 - replay)))


def balanced(pool: Sequence[Item], label_path: str, count: int, seed: int) -> list[Item]:
    """`count` items with labels as even as the pool allows. A larger count holds all of a smaller one."""
    piles: defaultdict[str, list[Item]] = defaultdict(list)
    for item in sorted(pool, key=lambda item: drawn(seed, "replay", item.id)):
        piles[str(item.output[label_path])].append(item)
    rounds = [(place, label, item) for label, pile in piles.items() for place, item in enumerate(pile)]
    rounds.sort(key=lambda entry: entry[:2])
    return [item for _, _, item in rounds[:count]]


def drawn(seed: int, *parts: str | int) -> str:
    """A place in an order that looks random and is the same everywhere."""
    return hashlib.sha256("\0".join(str(part) for part in (seed, *parts)).encode()).hexdigest()
