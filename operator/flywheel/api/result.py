"""What an attempt reports back: at most 1.5 KiB of JSON in the pod's termination message. Figures only, never items.

Shares are numbers here (not CRD fields), rounded to four places to stay within the limit. Every figure has bounds: a
pod may say anything, and what is accepted must fit into a status.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_serializer, model_validator

from flywheel.api.model import Digest, Open, Word

MAX_RESULT_BYTES = 1536  # of 4096 that the kubelet keeps of a termination message
EXIT_DONE, EXIT_BAD_INPUT, EXIT_TRY_LATER, EXIT_FAILED = 0, 64, 75, 1

_Finite = Annotated[float, Field(allow_inf_nan=False), AfterValidator(lambda value: round(value, 4))]
Rounded = Annotated[_Finite, Field(ge=-1e9, le=1e9)]
_Share = Annotated[_Finite, Field(ge=0, le=1)]
_Gain = Annotated[_Finite, Field(ge=-1, le=1)]
_Spent = Annotated[float, Field(allow_inf_nan=False, ge=0, le=100), AfterValidator(lambda value: round(value, 9))]
_Count = Annotated[int, Field(ge=0, le=10**15)]
# Of a pool, an arm or a reason.
_Name = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
# Of a question, also the name of a file.
BLANKED_FIELD, MOST_BLANKED = r"^[A-Za-z_][A-Za-z0-9_.-]{0,31}$", 4
_BlankedField = Annotated[str, Field(max_length=32, pattern=BLANKED_FIELD)]


# By reason, what is missing of labels, by their place in the task's order.
Short = dict[_Name, Annotated[dict[Annotated[int, Field(ge=0, le=15)], _Count], Field(max_length=16)]]
# Replies of the teacher by how they were read, from strict to refused.
Rungs = dict[_Name, _Count]
# Of these: the teacher will not. It is never asked again.
UNWILLING = frozenset({"refused", "filtered"})
# Trusted items of one label that the teacher labelled blind: how many, how many wrongly; and how many it refused.
Blind = tuple[_Count, _Count, _Count]
# Digest of the name of the model that answered; the name itself is the server's own text.
ServedModel = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", max_length=12)]


class Usage(Open):
    """Teacher calls of one step, over all its attempts: what it is charged.

    Requests that were cut off, and replies that do not say what they used, are charged as reserved.
    """

    calls: _Count = 0
    recorded: _Count = Field(default=0, description="Calls answered from the ledger, not paid again.")
    lost_in_flight: _Count = Field(default=0, description="Requests that were cut off, perhaps paid.")
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cached_tokens: _Count = Field(default=0, description="Input tokens that the endpoint had in its cache.")
    unaffordable: _Count = Field(default=0, description="Calls not made, because the budget does not cover them.")


class Accuracy(Open):
    """Balanced accuracy of one arm with its interval; unparsable and over-long answers are wrong and counted."""

    accuracy: _Share
    low: _Share
    high: _Share
    unparsable: _Count = 0
    over_long: _Count = 0


class Difference(Open):
    """Paired difference in balanced accuracy: the arm under test minus the other. A list of three in JSON: room."""

    difference: _Gain
    low: _Gain
    high: _Gain

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        if not isinstance(value, list) or len(listed := cast("list[object]", value)) != 3:
            return cast(object, value)
        return dict(zip(("difference", "low", "high"), listed, strict=True))

    @model_serializer
    def _to_list(self) -> list[float]:
        return [self.difference, self.low, self.high]


class PrepareFigures(Open):
    """labels: per pool, the number of items per label in the task's label order."""

    step: Literal["prepare"] = "prepare"
    revision: Word
    items: dict[_Name, _Count] = Field(max_length=8)
    labels: dict[_Name, list[_Count]] = Field(max_length=8)
    units: dict[_Name, _Count] = Field(default_factory=dict[str, int], max_length=8, description="Of repositories.")
    held_out_by_rule: _Count = Field(default=0, description="Items of validation and test that a rule labelled.")
    rejected: dict[_Name, _Count] = Field(default_factory=dict[str, int], max_length=32)


class FetchFigures(Open):
    """The base model is on the workspace."""

    step: Literal["fetch"] = "fetch"
    model: Digest = Field(description="Digest of the model folder's manifest.")
    files: _Count
    size: Annotated[int, Field(ge=0, le=10**15)] = Field(description="Bytes.")


class PreflightFigures(Open):
    """The teacher answers, and as it is asked to."""

    step: Literal["preflight"] = "preflight"
    replies: Rungs = Field(default_factory=dict[str, int], max_length=12)
    usage: Usage = Usage()
    served_model: ServedModel | None = None


class ExamFigures(Open):
    """An exam was written."""

    step: Literal["exam"] = "exam"
    questions: _Count
    anchors: _Count = Field(default=0, description="Of the questions, trusted items.")
    rejected: _Count = 0
    voted_out: _Count = Field(default=0, description="Of the rejected, those that blind votes did not confirm.")
    blind: list[Blind] = Field(
        default_factory=list[Blind], max_length=16, description="Per label of the task, in its order."
    )
    short: Short = Field(default_factory=dict[str, dict[int, int]], max_length=16)
    replies: Rungs = Field(default_factory=dict[str, int], max_length=12)
    checked: _Count = Field(default=0, description="The teacher's items that were compared with held-out ones.")
    quarantined: dict[_Name, _Count] = Field(default_factory=dict[str, int], max_length=8)
    redacted: dict[_Name, _Count] = Field(default_factory=dict[str, int], max_length=8)
    usage: Usage = Usage()
    served_model: ServedModel | None = None


class AnswerFigures(Open):
    """The student sat the exam, scored by the teacher's key."""

    step: Literal["answer"] = "answer"
    items: _Count
    score: Accuracy


class EvaluateFigures(Open):
    """The teacher's 1-10, and the size of the training set that came of it."""

    step: Literal["evaluate"] = "evaluate"
    proficiency: int = Field(ge=1, le=10)
    inflation_gap: Difference | None = Field(
        default=None, description="Balanced accuracy on the teacher's questions minus that on the anchors."
    )
    new_examples: _Count
    training_items: _Count
    rejected: _Count = 0
    voted_out: _Count = Field(default=0, description="Of the rejected, those that blind votes did not confirm.")
    short: Short = Field(default_factory=dict[str, dict[int, int]], max_length=16)
    replies: Rungs = Field(default_factory=dict[str, int], max_length=12)
    checked: _Count = 0
    quarantined: dict[_Name, _Count] = Field(default_factory=dict[str, int], max_length=8)
    redacted: dict[_Name, _Count] = Field(default_factory=dict[str, int], max_length=8)
    usage: Usage = Usage()
    served_model: ServedModel | None = None


class TrainFigures(Open):
    """An adapter was trained."""

    step: Literal["train"] = "train"
    adapter: Digest
    steps: _Count
    resumed_at: _Count = 0
    first_loss: Rounded
    last_loss: Rounded
    steps_per_second: Rounded = 0.0
    over_long: _Count = Field(default=0, description="Examples left out: they do not fit into the model's context.")


# Why what serves from another run cannot be measured.
Obstacle = Literal["NotInWorkspace", "ContractDiffers", "GroupsUnknown"]


class ServingFigures(Open):
    """What serves from another run, on a held-out pool, without the items of groups that it was trained on.

    smallest: the smallest gain over it that the others can show; None where they can show none.
    """

    items: _Count
    left_out: _Count
    smallest: _Share | None = None
    obstacle: Obstacle | None = None


class MeasureFigures(Open):
    """Arms on a held-out pool; `differences` are candidate minus the named arm.

    recall_lows: per label in the task's order, the lowest of the lower bounds of the difference of recall against the
    arms that the plan named; -1 for a label without items.
    blanked: by text field, candidate minus itself without that field, over a sample of the items.
    openings, spent: how often the test pool's items were opened by all runs so far, and what that spent of alpha.
    Without arms the opening was refused, because openings or alpha are spent.
    """

    step: Literal["validate", "test"]
    items: _Count
    arms: dict[_Name, Accuracy] = Field(max_length=8)
    differences: dict[_Name, Difference] = Field(default_factory=dict[str, Difference], max_length=8)
    recall_lows: list[_Gain] = Field(default_factory=list[float], max_length=16)
    blanked: dict[_BlankedField, Difference] = Field(default_factory=dict[str, Difference], max_length=MOST_BLANKED)
    serving: ServingFigures | None = Field(default=None, description="Of the arm `incumbent`, which serves.")
    probes: _Count = 0
    openings: Annotated[int, Field(ge=0, le=10**6)] = 0
    spent: _Spent = 0.0


class _Listed(Open):
    """A type that is a list in JSON, in the order of its fields: room."""

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        names = list(cls.model_fields)
        if not isinstance(value, list) or len(listed := cast("list[object]", value)) != len(names):
            return cast(object, value)
        return dict(zip(names, listed, strict=True))

    @model_serializer
    def _to_list(self) -> list[Any]:
        return [getattr(self, name) for name in type(self).model_fields]


class Preference(_Listed):
    """Candidate against another arm, as the judge prefers; ties are the rest of `items`.

    rate, rate_low, rate_high: share of wins, ties half, were the texts of both as long;
    absent where lengths never vary.
    """

    items: _Count
    wins: _Count
    losses: _Count
    flips: _Count
    unjudged: _Count
    difference: _Gain
    low: _Gain
    high: _Gain
    rate: _Share | None = None
    rate_low: _Share | None = None
    rate_high: _Share | None = None


class Agreement(_Listed):
    """How far the judge agrees with people on the anchors: share of pairs, and Cohen's kappa."""

    items: _Count
    share: _Share
    low: _Share
    high: _Share
    kappa: _Gain | None = None
    kappa_low: _Gain | None = None
    kappa_high: _Gain | None = None


class Spent(_Listed, Usage):
    """Usage of one of several endpoints."""


class JudgeFigures(Open):
    """Preferences by arm; usage by endpoint, `judge` and the compared models.

    first_place: share of verdicts for the answer shown first, 0.5 without position bias.
    """

    step: Literal["judge"] = "judge"
    preferences: dict[_Name, Preference] = Field(max_length=8)
    first_place: _Share | None = None
    agreement: Agreement | None = None
    usage: dict[_Name, Spent] = Field(max_length=8)
    served_model: ServedModel | None = None


class PublishFigures(Open):
    """The adapter is where servers read it."""

    step: Literal["publish"] = "publish"
    phase: Literal["stage", "commit", "retire"]
    adapter: Digest


class VerifyFigures(Open):
    """Per address, how many of the probes agreed with the recorded answers.

    `as_served`: the candidate's answers to the validation pool through a pod minus those that were measured.
    """

    step: Literal["verify"] = "verify"
    probes: _Count
    agreed: dict[str, _Count]
    as_served: Difference | None = None
    passed: bool


class CleanupFigures(Open):
    """Attempts of old iterations were removed."""

    step: Literal["cleanup"] = "cleanup"
    removed: _Count
    freed_bytes: _Count


class AbsentFigures(Open):
    """report found no finished manifest: the attempt left nothing."""

    step: Literal["report"] = "report"
    found: Literal[False] = False


Figures = Annotated[
    PrepareFigures
    | FetchFigures
    | PreflightFigures
    | ExamFigures
    | AnswerFigures
    | EvaluateFigures
    | TrainFigures
    | MeasureFigures
    | JudgeFigures
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
    usage: Usage | None = Field(default=None, description="What the step was charged all the same.")


class StepResult(Open):
    """The termination message of the container `step`: a manifest and figures, or an error."""

    v: Literal[1] = 1
    manifest: Digest | None = None
    path: str | None = Field(default=None, description="Folder of the manifest; absent where it did not fit.")
    figures: Figures | None = None
    error: StepError | None = None

    def to_message(self) -> str:
        """The termination message; raises ValueError past 1.5 KiB, so that a step fails loudly in its tests.

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
