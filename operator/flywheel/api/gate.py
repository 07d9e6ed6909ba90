"""What an adapter must prove on the test pool before it may be rolled out."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from flywheel.api.model import Chance, Closed, Share, list_map
from flywheel.api.task import Label


class LabelFloor(Closed):
    """A label whose recall may not fall by more than a margin."""

    label: Label = Field(description="One of the labels of the Curriculum's task.")
    margin: Share = Field(
        description="Most recall that may be lost: the lower bound of the paired difference must be above minus this,"
        " against the adapter in service (the best untrained arm where there is none) and against the first promoted."
    )
    min_items: int = Field(
        default=30, ge=1, le=1_000_000, description="Fewest items with this label that the test pool must have."
    )


class PreferenceGate(Closed):
    """What the judge must say of the candidate's texts."""

    margin: Share = Field(
        default=Decimal("0"),
        description="Lower bound of the preference difference over the bare student must be above this; nor may the"
        " candidate be proven worse than the adapter in service.",
    )
    leakage_risk: Literal["Blocks", "Waived"] = Field(
        default="Blocks",
        description="Whether a judge of the teacher's family blocks promotion: it may prefer its own kind's style.",
    )


class Gate(Closed):
    """What an adapter must prove before it may be rolled out."""

    alpha: Chance = Field(
        default=Decimal("0.05"),
        description="Chance, over all openings of the test pool together, of promoting an adapter that is no better.",
    )
    max_test_openings: int = Field(
        default=5,
        ge=1,
        le=100,
        description="How often the test pool may be opened, by all runs that share its items. A test is made at"
        " alpha / this, and none where alpha would be overspent.",
    )
    first_margin: Share = Field(
        default=Decimal("0.02"),
        description="Balanced accuracy may not fall by more than this below the first promoted adapter, by the lower"
        " bound of the paired difference: small losses do not add up.",
    )
    serving: Literal["Required", "Shown"] = Field(
        default="Required",
        description="What the deployment serves from another run when this one starts: the first candidate must be"
        " better than it, on items of groups that it was not trained on; or the difference is only shown.",
    )
    labels: list[LabelFloor] = Field(
        default_factory=list[LabelFloor],
        max_length=16,
        description="Labels whose recall may not fall.",
        json_schema_extra=list_map("label"),
    )
    preference: PreferenceGate | None = Field(
        default=None, description="What evaluation.judge must say of the texts; its figures are only shown if absent."
    )
