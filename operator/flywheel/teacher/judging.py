"""Asks a judge which of two texts is better, in both orders. A verdict that cannot be read is counted, never guessed.

Must not know arms, figures or what a preference decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.api.task import Task
from flywheel.statistics.preference import Judged, Verdict
from flywheel.teacher.asking import Question, Teacher
from flywheel.teacher.ledger import Reply
from flywheel.teacher.prompts import load_prompt
from flywheel.teacher.replies import read_object

_SAID: dict[str, Verdict] = {"a": "first", "b": "second", "tie": "tie"}
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Pair:
    """Two texts that answer one question; an empty one is no answer."""

    id: str
    question: dict[str, Any]
    reference: dict[str, Any] | None
    candidate: str
    other: str

    @property
    def settled(self) -> Judged | None:
        """What needs no judge: the same text twice is a tie, and any text is better than none."""
        if self.candidate == self.other:
            return Judged("tie", "tie")
        if self.candidate and self.other:
            return None
        return Judged("first", "second") if self.candidate else Judged("second", "first")


class Judge:
    """One judge, and how its replies were read."""

    def __init__(self, teacher: Teacher, task: Task) -> None:
        if task.text is None:
            raise ValueError("the task has no text to judge")
        self._teacher = teacher
        self._fixed = {"instructions": task.instructions, "text_path": task.text.path}
        self._prompt = load_prompt("judge")
        self.replies: Counter[str] = Counter()

    def judge(self, pairs: Sequence[Pair], done: Callable[[int], None]) -> list[Judged | None]:
        """Verdicts by pair; None for a pair of which the budget does not cover both orders."""
        open_pairs = [pair for pair in pairs if pair.settled is None]
        questions = [self._question(pair, forward) for pair in open_pairs for forward in (True, False)]
        replies = self._teacher.ask(questions, done)
        found: dict[str, Judged | None] = {}
        for pair, forward, backward in zip(open_pairs, replies[::2], replies[1::2], strict=True):
            if forward is None or backward is None:
                found[pair.id] = None
            else:
                found[pair.id] = Judged(self._read(forward), self._read(backward))
        return [pair.settled or found[pair.id] for pair in pairs]

    def _question(self, pair: Pair, forward: bool) -> Question:
        shown = (pair.candidate, pair.other) if forward else (pair.other, pair.candidate)
        variables = {
            **self._fixed,
            "question": pair.question,
            "reference": pair.reference,
            "answer_a": shown[0],
            "answer_b": shown[1],
        }
        # By content alone: the same pair is not paid again for another arm or run.
        return Question(self._prompt, variables, slot=pair.id)

    def _read(self, reply: Reply) -> Verdict | None:
        read = read_object(reply, ("preferred",))
        said = read.items[0]["preferred"] if read.items else None
        verdict = _SAID.get(said.strip().lower()) if isinstance(said, str) else None
        self.replies[UNREADABLE if read.items and verdict is None else read.rung] += 1
        return verdict
