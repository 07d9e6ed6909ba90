"""The part of ObjectMeta that decisions need."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from flywheel.api.model import Open


class Metadata(Open):
    """metav1.ObjectMeta, as far as it is read."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict[str, str])
