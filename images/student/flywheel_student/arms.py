"""The arms that are measured: ways of answering the same items, as answer lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from flywheel.api.item import Answer, Item
from flywheel.data.tokens import TaskTokens, answer_text
from flywheel.statistics.measurement import CANDIDATE, INCUMBENT
from flywheel_student.bag_of_words import BagOfWords
from flywheel_student.blanking import blanked
from flywheel_student.freeform import Reply, reply_to
from flywheel_student.likelihood import choose_label
from flywheel_student.model import Student
from flywheel_student.progress import Progress

Untrained = Literal["base", "likelihood", "fewShot", "majority", "bagOfWords"]
UNTRAINED: tuple[Untrained, ...] = ("base", "likelihood", "fewShot", "majority", "bagOfWords")


class Sitting:
    """One student before one set of held-out items."""

    def __init__(self, student: Student, tokens: TaskTokens, step: str, batch_size: int) -> None:
        self._student = student
        self._tokens = tokens
        self._step = step
        self._batch_size = batch_size

    def candidate(self, items: Sequence[Item]) -> list[Answer]:
        """Base with adapter, free-form: as it will be served."""
        return self._freeform(CANDIDATE, items)

    def incumbent(self, items: Sequence[Item]) -> list[Answer]:
        """The adapter that serves from another run, which the student wears."""
        return self._freeform(INCUMBENT, items)

    def blanked(self, field: str, items: Sequence[Item]) -> list[Answer]:
        """The candidate once more, with one text field of each question left empty."""
        return self._freeform(f"blank:{field}", [blanked(item, field) for item in items])

    def untrained(self, arm: Untrained, items: Sequence[Item], pool: Sequence[Item]) -> list[Answer]:
        """One of the arms without training; `pool` holds labelled items that may be shown, or counted."""
        if arm == "majority":
            return self._majority(items)
        if arm == "bagOfWords":
            return self._bag_of_words(items, pool)
        with self._student.base():
            if arm == "base":
                return self._freeform(arm, items)
            shots = self._shots(pool) if arm == "fewShot" else []
            prompts = [self._tokens.encode_prompt(item.input, shots) for item in items]
            progress = Progress(self._step, arm, len(items))
            replies = choose_label(self._student, self._tokens, prompts, self._batch_size, progress.advance)
            return self._lines(items, replies)

    def prompt(self, item: Item) -> list[int]:
        """The ids that an item is asked with."""
        return self._tokens.encode_prompt(item.input)

    def _freeform(self, arm: str, items: Sequence[Item]) -> list[Answer]:
        prompts = [self.prompt(item) for item in items]
        progress = Progress(self._step, arm, len(items))
        return self._lines(items, reply_to(self._student, self._tokens, prompts, self._batch_size, progress.advance))

    def _majority(self, items: Sequence[Item]) -> list[Answer]:
        counts = Counter(self._truth(item) for item in items)
        label = max(self._tokens.task.label.order, key=lambda each: counts[each])
        return self._lines(items, [self._labelled(label)] * len(items))

    def _bag_of_words(self, items: Sequence[Item], pool: Sequence[Item]) -> list[Answer]:
        examples = [(item.input, self._truth(item)) for item in pool]
        labels = BagOfWords(self._tokens.task.label.order, examples).answers([item.input for item in items])
        return self._lines(items, [self._labelled(label) for label in labels])

    def _labelled(self, label: str) -> Reply:
        """What an arm that says nothing but labels would have written."""
        return answer_text(self._tokens.task, {self._tokens.task.label.path: label}), label, "ok"

    def _shots(self, pool: Sequence[Item]) -> list[tuple[dict[str, object], dict[str, object]]]:
        """The shortest item of each label, so that the examples leave room for the question."""
        shots: list[tuple[dict[str, object], dict[str, object]]] = []
        for label in self._tokens.task.label.order:
            found = [item for item in pool if self._truth(item) == label]
            if found:
                item = min(found, key=lambda each: (len(self._tokens.encode_prompt(each.input)), each.id))
                shots.append((item.input, {self._tokens.task.label.path: label}))
        return shots

    def _truth(self, item: Item) -> str:
        return str(item.output[self._tokens.task.label.path])

    def _lines(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Answer]:
        return [
            Answer(id=item.id, truth=self._truth(item), text=text, label=label, state=state)
            for item, (text, label, state) in zip(items, replies, strict=True)
        ]
