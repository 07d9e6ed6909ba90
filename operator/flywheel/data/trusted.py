"""Which trusted items measure the teacher: the anchor block of every exam, and those it labels blind.

Trusted are labels of people and of rules. Deterministic by seed. Must not know files or the teacher.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from flywheel.api.item import Item
from flywheel.api.task import Task
from flywheel.data.growth import balanced, drawn
from flywheel.data.quotas import even_quotas
from flywheel.data.truth import HOLDABLE

ANCHORS_OF_TEN = 3  # questions of an exam that are anchors
BLIND_ITEMS = 100  # an iteration: a run that ends after its first one has as many as it needs


def anchor_block(pool: Sequence[Item], task: Task, questions: int, seed: int) -> list[Item]:
    """The same items in every exam of a run, labels evenly; at most half of a label's items, the rest are seeds."""
    piles: defaultdict[str, list[Item]] = defaultdict(list)
    for item in sorted(pool, key=lambda item: drawn(seed, "anchors", item.id)):
        if item.truth in HOLDABLE:
            piles[str(item.output[task.label.path])].append(item)
    quotas = even_quotas(questions * ANCHORS_OF_TEN // 10, task.label.order)
    return [item for label in task.label.order for item in piles[label][: min(quotas[label], len(piles[label]) // 2)]]


def blind_items(pool: Sequence[Item], label_path: str, iteration: int, seed: int) -> list[Item]:
    """What the teacher labels in this iteration: other items each time, labels evenly, until there are no more."""
    trusted = [item for item in pool if item.truth in HOLDABLE]
    return balanced(trusted, label_path, BLIND_ITEMS * iteration, seed)[BLIND_ITEMS * (iteration - 1) :]
