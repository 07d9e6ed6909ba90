"""The leakage firewall: what the teacher writes against every held-out item, by signatures that hold no text.

Must not know files or the teacher.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.api.leakage import Leakage, Signature, Signatures
from flywheel.data.near_duplicates import SKETCHES, Known, Sketch, sketch
from flywheel.data.normalise import question_id, texts

COPY, NEAR = "HeldOutCopy", "HeldOutNear"


@dataclass(frozen=True)
class Leak:
    """A question that is a held-out one: equal to it once normalised, or nearly. `held_out`: digest of that one."""

    reason: str
    held_out: str
    similarity: float


class Firewall:
    """Knows held-out items by their signatures."""

    def __init__(self, signatures: Signatures) -> None:
        self._fields = signatures.leakage.fields
        self._questions = {entry.question for entry in signatures.items}
        self._known = Known(float(signatures.leakage.threshold))
        for entry in signatures.items:
            self._known.add(entry.question, Sketch(tuple(entry.words), tuple(entry.shape)))

    def leak(self, question: Mapping[str, Any]) -> Leak | None:
        """What the question leaks, or None. Raises ValueError, RecursionError for what cannot be written as JSON."""
        asked = question_id(question)
        if asked in self._questions:
            return Leak(COPY, asked, 1.0)
        near = self._known.nearest(sketch(compared(question, self._fields)))
        return None if near is None else Leak(NEAR, *near)


def signatures(questions: Iterable[Mapping[str, Any]], leakage: Leakage) -> Signatures:
    """Signatures of held-out questions, in an order that says nothing of theirs."""
    found: dict[str, Signature] = {}
    for question in questions:
        made = sketch(compared(question, leakage.fields))
        asked = question_id(question)
        found[asked] = Signature(question=asked, words=list(made.words), shape=list(made.shape))
    return Signatures(sketches=SKETCHES, leakage=leakage, items=[found[asked] for asked in sorted(found)])


def compared(question: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The text of a question that near-duplicates are found by."""
    parts = [question.get(name) for name in fields] if fields else [question[name] for name in sorted(question)]
    return "\n".join(text for part in parts for text in texts(part))
