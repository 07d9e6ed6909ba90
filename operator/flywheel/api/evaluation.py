"""`evaluation`: who judges the texts of answers, and the models to compare with. Each has its own key and budget."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from flywheel.api.limits import Limits
from flywheel.api.model import Amount, Closed, LocalRef, RelativePath, list_map, rules
from flywheel.api.model import Rule as Cel
from flywheel.api.money import Prices

_SOME_LIMIT = "one of tokens and cost must be set"
_PRICED = "budget.cost needs prices"


class EndpointBudget(Closed):
    """Most that an endpoint may be charged over the run; what it leaves uncovered is not asked."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(Cel("has(self.tokens) || has(self.cost)", _SOME_LIMIT))
    }
    tokens: int | None = Field(default=None, ge=1, le=10**15, description="Tokens, in and out.")
    cost: Amount | None = Field(default=None, description="Money, in the currency of this endpoint's prices.")

    @model_validator(mode="after")
    def _some_limit(self) -> EndpointBudget:
        """The CEL rule above, for those who do not ask an API server."""
        if self.tokens is None and self.cost is None:
            raise ValueError(_SOME_LIMIT)
        return self


class AskedModel(Closed):
    """A large model behind an OpenAI-compatible endpoint, which sees held-out items."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(Cel("!has(self.budget) || !has(self.budget.cost) || has(self.prices)", _PRICED))
    }
    base_url: str = Field(
        alias="baseURL",
        max_length=1024,
        pattern=r"^https?://[!-?A-~]+$",
        description="Endpoint up to and with /v1. Its host must be listed in the Secret's key `hosts`.",
    )
    model: str = Field(min_length=1, max_length=253, description="Model name at the endpoint: a dated one.")
    secret_ref: LocalRef = Field(
        description="Secret with the keys apiKey and hosts (the hosts the key may be sent to, separated by commas)."
    )
    limits: Limits = Field(default_factory=Limits, description="How hard it may be asked.")
    prices: Prices | None = Field(default=None, description="What its tokens cost.")
    budget: EndpointBudget | None = Field(
        default=None, description="Most that it may be charged over the run, beside stop.budget; no limit if absent."
    )

    @model_validator(mode="after")
    def _priced(self) -> AskedModel:
        """The CEL rule above, for those who do not ask an API server."""
        if self.budget is not None and self.budget.cost is not None and self.prices is None:
            raise ValueError(_PRICED)
        return self


class Judge(AskedModel):
    """Compares texts in pairs, each pair in both orders. Of another family than the teacher, and pinned."""

    items: int = Field(
        default=200,
        ge=10,
        le=100_000,
        description="Most items of the test pool that are judged, drawn by the seed. Two calls each and arm.",
    )
    anchors: RelativePath | None = Field(
        default=None,
        description="JSONL on the workspace with at least 50 pairs that people have judged (input, first, second,"
        " preferred: first, second or tie): how far the judge agrees with people.",
    )


class Compared(AskedModel):
    """A model that answers the same questions, whose texts are compared with the candidate's. Shown, never a gate."""

    name: Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[a-z][A-Za-z0-9]*$")] = Field(
        description="Its name in the figures."
    )


_TAKEN = ("base", "incumbent", "judge", "people")
_OTHER_NAMES = f"compare[].name must be none of {', '.join(_TAKEN)}"


class Evaluation(Closed):
    """Who judges the texts of answers on the test pool, and what they are compared with."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel(f"!has(self.compare) || self.compare.all(c, !(c.name in {list(_TAKEN)}))", _OTHER_NAMES)
        )
    }
    judge: Judge = Field(description="The model that compares texts.")
    compare: list[Compared] = Field(
        default_factory=list[Compared],
        max_length=3,
        description="Models to compare with, besides the bare student and the adapter in service.",
        json_schema_extra=list_map("name"),
    )

    @model_validator(mode="after")
    def _other_names(self) -> Evaluation:
        """The CEL rule above, for those who do not ask an API server."""
        if any(entry.name in _TAKEN for entry in self.compare):
            raise ValueError(_OTHER_NAMES)
        return self
