"""How hard an endpoint may be asked."""

from __future__ import annotations

from pydantic import Field

from flywheel.api.model import Closed, Duration


class Limits(Closed):
    """How hard an endpoint may be asked."""

    concurrency: int = Field(default=4, ge=1, le=256, description="Calls under way at once.")
    requests_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Most requests that begin in any minute, repeated ones included, spread evenly; absent: no limit.",
    )
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1000,
        le=1_000_000_000,
        description="Most tokens, in and out, of requests that begin in any minute. A request counts with the most that"
        " it can use until it is known what it used; one that is larger than the limit goes alone. No limit if absent.",
    )
    call_timeout: Duration = Field(default="5m", description="Longest that one request may take.")
