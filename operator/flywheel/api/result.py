"""What an attempt reports back: at most 1 KiB of JSON in the pod's termination message. Figures only, never items.

Shares are numbers here (not CRD fields), rounded to four places to stay within the limit.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from flywheel.api.model import Digest, Open

MAX_RESULT_BYTES = 1024
EXIT_DONE, EXIT_BAD_INPUT, EXIT_TRY_LATER, EXIT_FAILED = 0, 64, 75, 1

Rounded = Annotated[float, BeforeValidator(lambda value: round(float(value), 4))]


class Usage(Open):
    """Teacher calls of one attempt: what was really paid for in it."""

    calls: int = 0
    recorded: int = Field(default=0, description="Calls answered from the ledger, not paid again.")
    lost_in_flight: int = Field(default=0, description="Calls of an earlier attempt that were cut off, asked again.")
    input_tokens: int = 0
    output_tokens: int = 0


class Accuracy(Open):
    """Balanced accuracy of one arm with its interval; unparsable and over-long answers are wrong and counted."""

    accuracy: Rounded
    low: Rounded
    high: Rounded
    unparsable: int = 0
    over_long: int = 0


class Difference(Open):
    """Paired difference in balanced accuracy: the arm under test minus the other."""

    difference: Rounded
    low: Rounded
    high: Rounded


class PrepareFigures(Open):
    """labels: per pool, the number of items per label in the task's label order."""

    step: Literal["prepare"] = "prepare"
    revision: str
    items: dict[str, int]
    labels: dict[str, list[int]]
    rejected: dict[str, int] = Field(default_factory=dict[str, int])


class ExamFigures(Open):
    """An exam was written."""

    step: Literal["exam"] = "exam"
    questions: int
    rejected: int = 0
    usage: Usage = Usage()


class AnswerFigures(Open):
    """The student sat the exam, scored by the teacher's key."""

    step: Literal["answer"] = "answer"
    items: int
    score: Accuracy


class EvaluateFigures(Open):
    """The teacher's 1-10, and the size of the training set that came of it."""

    step: Literal["evaluate"] = "evaluate"
    proficiency: int = Field(ge=1, le=10)
    new_examples: int
    training_items: int
    rejected: int = 0
    usage: Usage = Usage()


class TrainFigures(Open):
    """An adapter was trained."""

    step: Literal["train"] = "train"
    adapter: Digest
    steps: int
    resumed_at: int = 0
    first_loss: Rounded
    last_loss: Rounded
    steps_per_second: Rounded = 0.0


class MeasureFigures(Open):
    """Arms on a held-out pool; `differences` are candidate minus the named arm."""

    step: Literal["validate", "test"]
    items: int
    arms: dict[str, Accuracy]
    differences: dict[str, Difference] = Field(default_factory=dict[str, Difference])
    probes: int = 0


class PublishFigures(Open):
    """The adapter is where servers read it."""

    step: Literal["publish"] = "publish"
    phase: Literal["stage", "commit"]
    adapter: Digest


class VerifyFigures(Open):
    """Per address, how many of the probes agreed with the recorded answers."""

    step: Literal["verify"] = "verify"
    probes: int
    agreed: dict[str, int]
    passed: bool


class CleanupFigures(Open):
    """Attempts of old iterations were removed."""

    step: Literal["cleanup"] = "cleanup"
    removed: int
    freed_bytes: int


class AbsentFigures(Open):
    """report found no finished manifest: the attempt left nothing."""

    step: Literal["report"] = "report"
    found: Literal[False] = False


Figures = Annotated[
    PrepareFigures
    | ExamFigures
    | AnswerFigures
    | EvaluateFigures
    | TrainFigures
    | MeasureFigures
    | PublishFigures
    | VerifyFigures
    | CleanupFigures
    | AbsentFigures,
    Field(discriminator="step"),
]


class StepError(Open):
    """Why an attempt failed: our own reason and words, never a server's reply text."""

    reason: str = Field(max_length=64)
    message: str = Field(max_length=400)


class StepResult(Open):
    """The termination message of the container `step`: a manifest and figures, or an error."""

    v: Literal[1] = 1
    manifest: Digest | None = None
    path: str | None = Field(default=None, description="Folder of the manifest; absent where it did not fit.")
    figures: Figures | None = None
    error: StepError | None = None

    def to_message(self) -> str:
        """The termination message; raises ValueError past 1 KiB, so that a step fails loudly in its tests.

        Without the path where there is no room: the operator knows where it told the step to write.
        """
        text = _compact(self)
        if len(text.encode()) > MAX_RESULT_BYTES:
            text = _compact(self.model_copy(update={"path": None}))
        if len(text.encode()) > MAX_RESULT_BYTES:
            raise ValueError(f"the step's result has {len(text.encode())} bytes, the limit is {MAX_RESULT_BYTES}")
        return text


def _compact(result: StepResult) -> str:
    return json.dumps(result.to_json_object(), separators=(",", ":"), ensure_ascii=False)


_RESULT: TypeAdapter[StepResult] = TypeAdapter(StepResult)


def parse_result(message: str) -> StepResult | None:
    """The result in a termination message, or None where there is no readable one."""
    try:
        result = _RESULT.validate_json(message)
    except ValidationError:
        return None
    return result if result.error is not None or result.figures is not None else None


def figures_json(figures: Figures) -> dict[str, Any]:
    """Figures as a manifest records them."""
    return figures.to_json_object()
