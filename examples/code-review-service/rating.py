"""What the served adapter says of a finding: the task's answer, as its Curriculum's outputSchema has it. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, ValidationError

Severity = Literal["critical", "major", "minor", "trivial"]
ORDER: tuple[Severity, ...] = ("critical", "major", "minor", "trivial")  # the worst first


class Answer(BaseModel):
    """The answer of examples/code-review."""

    issue_type: Severity


class ExplainedAnswer(Answer):
    """The answer of examples/code-review-explained."""

    explanation: str = Field(max_length=400)


def read_answer(text: str, kind: type[Answer]) -> Answer | None:
    """The answer, or None where the text is not one: such a finding is not rated."""
    try:
        return kind.model_validate_json(text.strip(), strict=True)
    except ValidationError:
        return None
