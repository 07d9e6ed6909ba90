"""Held-out items that an adapter of another run was not trained on: by the groups that its card names (SCIENCE 1)."""

from __future__ import annotations

from collections.abc import Sequence

from flywheel.api.item import Item
from flywheel.api.model import Digest, Open
from flywheel.data.pools import group_digests


class TrainedOn(Open):
    """What a published adapter's card says of its training; None where it does not say."""

    trained_groups: list[Digest] | None = None


def untouched(items: Sequence[Item], card: TrainedOn) -> list[Item]:
    """The items of groups that it was not trained on; none where the card does not say."""
    if card.trained_groups is None:
        return []
    trained = set(card.trained_groups)
    return [item for item in items if trained.isdisjoint(group_digests([item.group]))]
