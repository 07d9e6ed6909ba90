"""What counts as the same item, so that held-out items stay out of what is trained on."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from flywheel.api.model import Closed, Open, list_type, spelt

# Below, most pairs of real code would count as the same.
Threshold = Annotated[Decimal, Field(ge=Decimal("0.3"), le=1), *spelt(r"^(0\.[3-9][0-9]{0,5}|1(\.0{1,6})?)$", 8)]


class Leakage(Closed):
    """How near-duplicates are found, between pools and in what the teacher writes."""

    fields: list[Annotated[str, Field(min_length=1, max_length=63)]] = Field(
        default_factory=list[str],
        max_length=16,
        description="Fields of a question whose text is compared, such as its code but not a review made from a "
        "template; all fields when empty.",
        json_schema_extra=list_type("set"),
    )
    threshold: Threshold = Field(
        default=Decimal("0.7"),
        description="Similarity, 0.3 to 1, from which two texts are near-duplicates: share of the shingles that they "
        "have in common. docs/data.md shows how it is chosen.",
    )


class Signature(Open):
    """One held-out question without its text: digest of the normalised question, and sketch of what is compared."""

    question: str
    words: list[int]
    shape: list[int]


class Signatures(Open):
    """signatures.json of a revision: all that steps which may not see held-out items know of them."""

    sketches: Literal[1, 2] = Field(description="Version of the sketches; they can be compared.")
    leakage: Leakage
    items: list[Signature]
