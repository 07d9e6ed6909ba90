"""The teacher's grade and feedback, and what keeps items out of it: feedback goes into the next exam's prompt.

Must not know files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from flywheel.api.model import Open
from flywheel.data.normalise import normalised, texts

_RUN = 40  # so many characters in a row, the same in item and sentence, are a quotation
_Sentence = Annotated[str, Field(max_length=600)]


class Feedback(Open):
    """Short sentences on what the student can and cannot do."""

    strengths: list[_Sentence] = Field(default_factory=list[str], max_length=12)
    weaknesses: list[_Sentence] = Field(default_factory=list[str], max_length=12)


class Evaluation(Open):
    """evaluation.json: the teacher's view of one exam. No decision rests on the grade."""

    proficiency: int = Field(ge=1, le=10)
    feedback: Feedback


def read_evaluation(value: Mapping[str, Any]) -> Evaluation | None:
    """The evaluation in a reply's object, or None where it is not one."""
    try:
        return Evaluation.model_validate(value)
    except ValidationError:
        return None


def without_quotations(feedback: Feedback, shown: Iterable[Any]) -> tuple[Feedback, int]:
    """Feedback without sentences that quote what was shown, and how many were left out."""
    runs: set[str] = set()
    short: set[str] = set()
    for text in texts(normalised(list(shown))):
        runs.update(text[start : start + _RUN] for start in range(len(text) - _RUN + 1))
        if len(text) <= _RUN and " " in text:
            short.add(text)

    def quotes(sentence: str) -> bool:
        plain = str(normalised(sentence))
        long = any(plain[start : start + _RUN] in runs for start in range(len(plain) - _RUN + 1))
        return long or any(text in plain for text in short)

    kept = Feedback(
        strengths=[sentence for sentence in feedback.strengths if not quotes(sentence)],
        weaknesses=[sentence for sentence in feedback.weaknesses if not quotes(sentence)],
    )
    before = len(feedback.strengths) + len(feedback.weaknesses)
    return kept, before - len(kept.strengths) - len(kept.weaknesses)
