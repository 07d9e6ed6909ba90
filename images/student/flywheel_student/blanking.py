"""Questions with one text field left empty: what an adapter does not miss, it does not read. Knows no student."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from flywheel.api.item import Item
from flywheel.api.result import BLANKED_FIELD, MOST_BLANKED
from flywheel.api.task import Task
from flywheel.data.tokens import property_order
from flywheel.workspace.digest import digest_bytes

log = logging.getLogger(__name__)


def text_fields(task: Task, items: Sequence[Item]) -> list[str]:
    """Fields that the student is shown and that hold a text in some item: the first four that figures can name."""
    texts = [name for name in property_order(task.input_schema) if any(_is_text(item, name) for item in items)]
    named = [name for name in texts if re.fullmatch(BLANKED_FIELD, name)][:MOST_BLANKED]
    if left := [name for name in texts if name not in named]:
        log.warning("not left empty: %s; figures have room for %d fields with short names", left, MOST_BLANKED)
    return named


def sampled(items: Sequence[Item], most: int, seed: int) -> list[Item]:
    """The same items for every adapter of a seed."""
    return sorted(items, key=lambda item: digest_bytes(f"blank {seed} {item.id}".encode()))[:most]


def blanked(item: Item, field: str) -> Item:
    """The item with that text empty; without such a text, the item itself."""
    return item.model_copy(update={"input": item.input | {field: ""}}) if _is_text(item, field) else item


def _is_text(item: Item, field: str) -> bool:
    return isinstance(item.input.get(field), str)
