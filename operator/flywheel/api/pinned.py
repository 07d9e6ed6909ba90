"""What a run takes over from its Curriculum when it starts, and keeps: the revision and the sizes of its pools."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from flywheel.api.curriculum import PoolItems, Revision
from flywheel.api.model import list_map


class PinnedRevision(Revision):
    """The revision that a run is pinned to, with the sizes that its figures depend on."""

    pools: list[PoolItems] = Field(
        default_factory=list[PoolItems],
        max_length=2,
        description="Sizes of the pools validation and test: what gains they can show.",
        json_schema_extra=list_map("name"),
    )

    @classmethod
    def of(cls, revision: Revision, pools: Iterable[PoolItems]) -> PinnedRevision:
        """The revision with those of the pools that are measured on."""
        measured = [pool for pool in pools if pool.name in ("validation", "test")]
        return cls(**revision.model_dump(), pools=measured)

    def pool(self, name: str) -> PoolItems | None:
        """The sizes of a held-out pool, or None where they are not known."""
        return next((pool for pool in self.pools if pool.name == name), None)
