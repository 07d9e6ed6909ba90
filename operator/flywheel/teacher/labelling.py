"""Has the teacher label questions blind: votes on what it wrote itself, and trusted items that measure it.

Both go through the same prompt in the same calls, so that it cannot tell which is which. Must not know who asks.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.api.result import UNWILLING
from flywheel.data.growth import drawn
from flywheel.data.quotas import portions
from flywheel.teacher.asking import Question, Teacher
from flywheel.teacher.prompts import Prompt
from flywheel.teacher.replies import Rung, read_items
from flywheel.teacher.shapes import labels_shape

log = logging.getLogger("flywheel.step")

QUESTIONS_A_CALL = 10
FIELDS = ("number", "label")
NO_LABEL = "no label"  # what was said is none of the task's


@dataclass(frozen=True)
class Labelled:
    """A question and the label that it carries, which is not shown."""

    id: str
    question: dict[str, Any]
    label: str


@dataclass(frozen=True)
class Panel:
    """How questions are labelled: the template, the task's variables, how often what was written is voted on."""

    prompt: Prompt
    variables: Mapping[str, Any]
    votes: int
    seed: int


def labelling(panel: Panel, asked: Sequence[Labelled], slot: str, vote: int) -> Question:
    """The call that asks for the labels of some questions."""
    shown = [{"number": number, "question": entry.question} for number, entry in enumerate(asked, start=1)]
    variables = {**panel.variables, "questions": shown}
    return Question(panel.prompt, variables, slot, vote, labels_shape(panel.variables["labels"]))


class Labeller:
    """Asks for labels, and counts how often those of trusted items were right."""

    def __init__(self, teacher: Teacher, panel: Panel, trusted: Sequence[Labelled] = ()) -> None:
        self._teacher = teacher
        self._panel = panel
        self._waiting = list(trusted)
        self.rungs: Counter[Rung] = Counter()
        self.labelled: Counter[str] = Counter()  # trusted items by their label: given a label, a wrong one, refused
        self.wrong: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.taken_for: Counter[tuple[str, str]] = Counter()

    def voted_out(self, written: Sequence[Labelled], slot: str) -> set[str]:
        """Ids of those that more than half of the votes do not confirm. A vote that was not cast confirms nothing.

        Asked until it is certain: two of three alike settle it.
        """
        votes, needed = self._panel.votes, self._panel.votes // 2 + 1
        ayes: Counter[str] = Counter()
        open_, out = list(written), set[str]()
        for vote in range(votes):
            trusted, self._waiting = self._waiting, []
            if not open_ and not trusted:
                break
            said = self._ask([*open_, *trusted], trusted, slot, vote)
            for entry in open_:
                ayes[entry.id] += said.get(entry.id) == entry.label
            out |= {entry.id for entry in open_ if ayes[entry.id] + votes - vote - 1 < needed}
            open_ = [entry for entry in open_ if entry.id not in out and ayes[entry.id] < needed]
        return out

    def _ask(self, asked: Sequence[Labelled], trusted: Sequence[Labelled], slot: str, vote: int) -> dict[str, str]:
        """One vote on each; what was said of trusted items is counted."""
        mixed = sorted(asked, key=lambda entry: drawn(self._panel.seed, "labelling", slot, vote, entry.id))
        calls: list[Sequence[Labelled]] = []
        for size in portions(len(mixed), QUESTIONS_A_CALL):
            calls.append(mixed[:size])
            mixed = mixed[size:]
        questions = [labelling(self._panel, call, f"{slot}/labels/{place}", vote) for place, call in enumerate(calls)]
        measured, said = {entry.id for entry in trusted}, dict[str, str]()
        for call, reply in zip(calls, self._teacher.ask(questions), strict=True):
            if reply is None:
                continue
            read = read_items(reply, "labels", FIELDS)
            self.rungs[read.rung] += 1
            if read.rung in UNWILLING:
                self.refused.update(entry.label for entry in call if entry.id in measured)
            said |= self._labels(call, read.items)
        for entry in trusted:
            if (label := said.get(entry.id)) is not None:
                self.labelled[entry.label] += 1
                self.wrong[entry.label] += label != entry.label
                self.taken_for[entry.label, label] += 1
        log.info("labels: vote %d on %d questions, %d of them trusted", vote + 1, len(asked), len(trusted))
        return said

    def _labels(self, call: Sequence[Labelled], items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """What was said of each, by its id; of two labels for a number the first counts."""
        said: dict[str, str] = {}
        for item in items:
            number, label = item.get("number"), item.get("label")
            if isinstance(number, int) and 0 < number <= len(call):
                known = isinstance(label, str) and label in self._panel.variables["labels"]
                said.setdefault(call[number - 1].id, label if known and isinstance(label, str) else NO_LABEL)
        return said

    def blind(self, labels: Sequence[str]) -> list[tuple[int, int, int]]:
        """Of each label's trusted items: how many were labelled, how many wrongly, how many refused."""
        return [(self.labelled[label], self.wrong[label], self.refused[label]) for label in labels]

    def report(self) -> dict[str, Any]:
        """What became of the labels, for the step's own file."""
        return {
            "replies": dict(sorted(self.rungs.items())),
            "trusted": dict(sorted(self.labelled.items())),
            "wrong": {label: wrong for label, wrong in sorted(self.wrong.items()) if wrong},
            "refused": dict(sorted(self.refused.items())),
            "takenFor": [
                {"label": label, "said": said, "items": items}
                for (label, said), items in sorted(self.taken_for.items())
                if said != label
            ],
        }
