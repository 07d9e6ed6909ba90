"""What a run takes over from its Curriculum when it starts, and keeps: the revision and the sizes of its pools."""

from __future__ import annotations

from pydantic import Field

from flywheel.api.curriculum import Revision
from flywheel.api.model import Open, list_map


class LabelItems(Open):
    """Items of one label in a pool."""

    label: str = Field(max_length=63, description="The label.")
    items: int = Field(ge=0, description="Items with it.")


class PoolItems(Open):
    """Items of one held-out pool."""

    name: str = Field(max_length=32, description="validation or test.")
    items: int = Field(ge=0, description="Items in the pool.")
    labels: list[LabelItems] = Field(
        default_factory=list[LabelItems],
        max_length=16,
        description="Items per label, in the order of the task's labels.",
        json_schema_extra=list_map("label"),
    )


class PinnedRevision(Revision):
    """The revision that a run is pinned to, with the sizes that its figures depend on."""

    pools: list[PoolItems] = Field(
        default_factory=list[PoolItems],
        max_length=2,
        description="Sizes of the pools validation and test: what gains they can show.",
        json_schema_extra=list_map("name"),
    )

    def pool(self, name: str) -> PoolItems | None:
        """The sizes of a held-out pool, or None where they are not known."""
        return next((pool for pool in self.pools if pool.name == name), None)
