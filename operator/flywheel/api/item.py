"""The lines of the files that steps pass on: items, exam questions, answers, training examples, probes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from flywheel.api.model import Open

Truth = Literal["Human", "Rule", "Teacher", "Feedback"]
State = Literal["ok", "unparsable", "cut", "overLong"]


class Item(Open):
    """pools/<pool>/items.jsonl: one labelled item of a source."""

    id: str = Field(description="Digest of the normalised input and output.")
    input: dict[str, Any]
    output: dict[str, Any]
    group: str
    source: str
    truth: Truth


class Unit(Open):
    """pools/<pool>/units.jsonl: a function, class or method of a repository. It has no label: the teacher sees it."""

    id: str = Field(description="Digest of the normalised question.")
    question: dict[str, Any] = Field(description="The field that holds the code.")
    kind: Literal["function", "class", "method"]
    language: str
    file: str
    line: int
    group: str
    source: str


class Question(Open):
    """exam.jsonl: a question with its key. An anchor is a trusted item, and its key is not the teacher's."""

    id: str
    question: dict[str, Any]
    answer: dict[str, Any]
    origin: Literal["teacher", "anchor"] = "teacher"


class Answer(Open):
    """answers.jsonl and answers/<arm>.jsonl: what a student said; `truth` is the expected label."""

    id: str
    truth: str
    text: str = ""
    label: str | None = None
    state: State = "ok"


class Anchor(Open):
    """A pair of texts for one question that a person has judged, with their outcome."""

    input: dict[str, Any]
    first: str = Field(min_length=1)
    second: str = Field(min_length=1)
    preferred: Literal["first", "second", "tie"]
    reference: dict[str, Any] | None = None


class Example(Open):
    """dataset.jsonl and train.jsonl: a training example."""

    id: str
    input: dict[str, Any]
    output: dict[str, Any]
    origin: Literal["teacher", "replay"]
    iteration: int = 0


class Probe(Open):
    """probes.jsonl: a question on which base and candidate disagree, and what each said.

    `prompt`: the token ids that both were asked with, so that a server can be asked with the very same.
    """

    id: str
    input: dict[str, Any]
    candidate: str
    base: str | None = None
    prompt: list[int] | None = None


class Difficulty(Open):
    """difficulty.jsonl: how unlikely the bare student finds an example's answer, by its mean loss per token."""

    id: str
    loss: float


class CurvePoint(Open):
    """curve.jsonl: one optimiser step."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
