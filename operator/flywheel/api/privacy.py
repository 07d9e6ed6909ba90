"""What must not reach a teacher: replaced in every prompt, and in the training text that is replayed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flywheel.api.model import Closed, list_type

Domain = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[-A-Za-z0-9]+)*$")
]
Name = Annotated[str, Field(min_length=2, max_length=63)]


class Redact(Closed):
    """What is replaced by something of the same shape, the same by the same."""

    secrets: bool = Field(default=True, description="Keys, tokens and passwords that detect-secrets finds.")
    emails: bool = Field(default=True, description="E-mail addresses.")
    hosts: list[Domain] = Field(
        default_factory=list[str],
        max_length=64,
        description="Domains whose hosts are replaced, such as corp.example.com. If any is named, IPv4 addresses too.",
        json_schema_extra=list_type("set"),
    )
    names: list[Name] = Field(
        default_factory=list[str],
        max_length=256,
        description="Words that are replaced wherever they stand alone, in any case, such as names of customers.",
        json_schema_extra=list_type("set"),
    )


class Privacy(Closed):
    """What the teacher may see."""

    redact: Redact = Field(default_factory=Redact, description="What is replaced before a prompt is sent.")
    external_teacher: Literal["Redacted", "Unredacted"] = Field(
        default="Redacted",
        description="A teacher outside the cluster is refused unless secrets and emails are redacted; "
        "Unredacted allows it all the same.",
    )
