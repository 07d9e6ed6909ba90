"""A folder of source code as a source: seed material for the teacher, without labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flywheel.api.model import ClaimRef, Closed, RelativePath, list_type

Pattern = Annotated[str, Field(min_length=1, max_length=128)]
_GLOB = "Shell patterns of paths in the folder; `*` also matches `/`."


class Selection(Closed):
    """Which files are read, and as which part of a question."""

    field: str = Field(
        default="code",
        min_length=1,
        max_length=63,
        description="Field of a question that such code would be in: by it units are compared with held-out items.",
    )
    include: list[Pattern] = Field(
        default_factory=list[str],
        max_length=32,
        description=f"{_GLOB} Other files are left out; all are read when empty.",
        json_schema_extra=list_type("set"),
    )
    exclude: list[Pattern] = Field(
        default_factory=list[str],
        max_length=32,
        description=f"{_GLOB} Files that are left out all the same.",
        json_schema_extra=list_type("set"),
    )


class Repository(Selection):
    """A folder whose functions, classes and methods are shown to the teacher: Python, Java, Go, JavaScript, TypeScript.

    Hidden, vendored and generated files are left out, and links are never followed.
    """

    path: RelativePath = Field(description="Path of the folder on the workspace, or on the claim.")
    persistent_volume_claim: ClaimRef | None = Field(
        default=None, description="The claim that holds the folder, mounted read-only; absent: the workspace."
    )
