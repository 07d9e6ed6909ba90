"""What tokens cost: prices of an endpoint, and what a step may still spend. Pure arithmetic, exact decimals."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from flywheel.api.model import Amount, Closed

MILLION = 1_000_000


class Prices(Closed):
    """Prices of the teacher, as its price list states them."""

    input_per_million: Amount = Field(description="Price of a million input tokens.")
    output_per_million: Amount = Field(description="Price of a million output tokens, reasoning included.")
    cached_input_per_million: Amount | None = Field(
        default=None, description="Price of a million input tokens that the endpoint had in its cache; else as input."
    )
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3)] = Field(
        default="USD", description="Currency of prices and budget, three letters. Nothing is converted."
    )

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal:
        """Exact cost in the currency; `cached_tokens` are among the input tokens."""
        cached = min(cached_tokens, input_tokens)
        cached_price = self.cached_input_per_million
        total = (input_tokens - cached) * self.input_per_million + output_tokens * self.output_per_million
        total += cached * (self.input_per_million if cached_price is None else cached_price)
        return total / MILLION


class Allowance(Closed):
    """How much a step may spend on the teacher; a limit that is absent does not hold."""

    tokens: int | None = Field(default=None, description="Tokens, in and out.")
    cost: Decimal | None = Field(default=None, description="In the currency of the prices.")
    prices: Prices | None = None

    def covers(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> bool:
        """Whether so many tokens in all stay within the allowance."""
        if self.tokens is not None and input_tokens + output_tokens > self.tokens:
            return False
        if self.cost is None or self.prices is None:
            return True
        return self.prices.cost(input_tokens, output_tokens, cached_tokens) <= self.cost
