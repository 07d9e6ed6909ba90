"""What a run's status says of its judge: preferences on the test pool, agreement with people, usage."""

from __future__ import annotations

from pydantic import Field

from flywheel.api.model import DecimalText, Open, list_map
from flywheel.api.result import ServedModel


class PreferenceReport(Open):
    """Whose texts the judge prefers: the candidate's, or another arm's."""

    versus: str = Field(max_length=32, description="The other arm: base, incumbent, or a model of evaluation.compare.")
    items: int = Field(ge=0, description="Items judged, each in both orders.")
    wins: int = Field(ge=0, description="Items on which both orders prefer the candidate.")
    losses: int = Field(ge=0, description="Items on which both orders prefer the other.")
    flips: int = Field(ge=0, description="Items on which both orders prefer the same place; they are ties.")
    unjudged: int = Field(ge=0, description="Items with a verdict that cannot be read or was refused; they are ties.")
    difference: DecimalText = Field(description="Wins minus losses, as a share of all items.")
    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")
    rate: DecimalText | None = Field(
        default=None, description="Length-controlled rate: share of wins, ties half, were the texts of both as long."
    )
    rate_low: DecimalText | None = Field(default=None, description="Lower bound of the rate.")
    rate_high: DecimalText | None = Field(default=None, description="Upper bound of the rate.")


class AgreementReport(Open):
    """How far the judge agrees with people on the anchors, at 0.95."""

    items: int = Field(ge=0, description="Anchors judged.")
    share: DecimalText = Field(description="Share of the anchors with the same outcome.")
    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")
    kappa: DecimalText | None = Field(default=None, description="Cohen's kappa: agreement beyond chance.")
    kappa_low: DecimalText | None = Field(default=None, description="Lower bound of kappa.")
    kappa_high: DecimalText | None = Field(default=None, description="Upper bound of kappa.")


class EndpointUsage(Open):
    """What an endpoint beside the teacher was charged."""

    name: str = Field(max_length=32, description="judge, or a model of evaluation.compare.")
    calls: int = Field(default=0, ge=0, description="Calls paid.")
    input_tokens: int = Field(default=0, ge=0, description="Tokens in.")
    output_tokens: int = Field(default=0, ge=0, description="Tokens out.")
    cached_tokens: int = Field(default=0, ge=0, description="Of those in, found in the endpoint's cache.")
    lost_in_flight: int = Field(default=0, ge=0, description="Requests that were cut off, charged as reserved.")
    unaffordable: int = Field(default=0, ge=0, description="Calls not made, because its budget did not cover them.")
    cost: DecimalText | None = Field(default=None, description="Cost at its prices, rounded up.")


class JudgeReport(Open):
    """The judge of a run."""

    served_model: ServedModel | None = Field(default=None, description="Digest of the name that it answered as.")
    first_place: DecimalText | None = Field(
        default=None, description="Share of the newest verdicts for the answer shown first: 0.5 without position bias."
    )
    agreement: AgreementReport | None = Field(default=None, description="With people, on the anchors.")
    usage: list[EndpointUsage] = Field(
        default_factory=list[EndpointUsage],
        max_length=8,
        description="What judge and compared models were charged, by endpoint.",
        json_schema_extra=list_map("name"),
    )
