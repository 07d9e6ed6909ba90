"""FlywheelRun: which student, which teacher, how to train, when to stop."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from flywheel.api.conditions import Condition
from flywheel.api.curriculum import Attempt
from flywheel.api.gate import Gate
from flywheel.api.jobs import Jobs, StepName
from flywheel.api.metadata import Metadata
from flywheel.api.model import (
    IMMUTABLE,
    Amount,
    ClaimRef,
    Closed,
    DecimalText,
    Digest,
    Duration,
    LocalRef,
    Open,
    Ordinal,
    PositiveDecimal,
    RelativePath,
    Share,
    SpentText,
    Word,
    list_map,
    rules,
)
from flywheel.api.model import Rule as Cel
from flywheel.api.money import Prices
from flywheel.api.pinned import PinnedRevision
from flywheel.api.request import Lora
from flywheel.api.result import ServedModel


class ModelClaim(ClaimRef):
    """A base model on a PersistentVolumeClaim."""

    path: RelativePath = Field(description="Folder on the claim with config.json, safetensors and tokenizer.")


class StudentModel(Closed):
    """Where the base model comes from."""

    persistent_volume_claim: ModelClaim = Field(description="A claim that holds the base model.")


class Student(Closed):
    """The small model that learns."""

    model: StudentModel = Field(
        description="The base model, in the format of Hugging Face. Immutable.", json_schema_extra=rules(IMMUTABLE)
    )
    served_name: Word | None = Field(
        default=None, description="Name written into the adapter as its base model; the model's folder when absent."
    )
    batch_size: int = Field(default=32, ge=1, le=1024, description="Questions answered at once.")


class Limits(Closed):
    """How hard the teacher may be asked."""

    concurrency: int = Field(default=4, ge=1, le=256, description="Calls under way at once.")
    requests_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Most requests that begin in any minute, repeated ones included, spread evenly; absent: no limit.",
    )
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1000,
        le=1_000_000_000,
        description="Most tokens, in and out, of requests that begin in any minute. A request counts with the most that"
        " it can use until it is known what it used; one that is larger than the limit goes alone. No limit if absent.",
    )
    call_timeout: Duration = Field(default="5m", description="Longest that one request may take.")


class Teacher(Closed):
    """The large model that examines and teaches: any OpenAI-compatible endpoint."""

    base_url: str = Field(
        alias="baseURL",
        max_length=1024,
        pattern=r"^https?://[!-?A-~]+$",
        description="Endpoint up to and with /v1. Its host must be listed in the Secret's key `hosts`.",
    )
    model: str = Field(min_length=1, max_length=253, description="Model name at the endpoint.")
    secret_ref: LocalRef = Field(
        description="Secret with the keys apiKey and hosts (the hosts the key may be sent to, separated by commas)."
    )
    limits: Limits = Field(default_factory=Limits, description="How hard the teacher may be asked.")
    prices: Prices | None = Field(default=None, description="What its tokens cost.")


class Exam(Closed):
    """Sizes of what the teacher writes each iteration."""

    questions: int = Field(default=200, ge=4, le=10000, description="Questions in an exam.")
    examples: int = Field(default=400, ge=4, le=100000, description="New training examples an iteration.")


class Training(Closed):
    """How the adapter is trained."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel("has(self.epochs) != has(self.maxSteps)", "exactly one of epochs and maxSteps must be set")
        )
    }
    method: Literal["LoRA"] = Field(
        default="LoRA", description="What is trained. Immutable.", json_schema_extra=rules(IMMUTABLE)
    )
    epochs: int | None = Field(default=None, ge=1, le=1000, description="Passes over the training set.")
    max_steps: int | None = Field(default=None, ge=1, le=10_000_000, description="Optimiser steps.")
    global_batch_size: int = Field(default=16, ge=1, le=65536, description="Examples per optimiser step.")
    learning_rate: PositiveDecimal = Field(default=Decimal("1e-4"), description="Peak learning rate.")
    lora: Lora = Field(default_factory=Lora, description="Shape of the adapter.")

    @model_validator(mode="after")
    def _one_length(self) -> Training:
        """The CEL rule above, for those who do not ask an API server."""
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError("exactly one of epochs and maxSteps must be set")
        return self


class Plateau(Closed):
    """Stop when the student no longer improves."""

    patience: int = Field(default=3, ge=1, le=10, description="Iterations over which the gain is measured.")
    min_delta: Share = Field(
        default=Decimal("0.01"),
        description="Stop when the upper bound of the gain over `patience` iterations is below this.",
    )


class Budget(Closed):
    """Most that the run may be charged for its teacher. Requests that were cut off count as what they might cost."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel("has(self.teacherTokens) || has(self.cost)", "one of teacherTokens and cost must be set")
        )
    }
    teacher_tokens: int | None = Field(default=None, ge=1, le=10**15, description="Teacher tokens, in and out.")
    cost: Amount | None = Field(default=None, description="Money, in the currency of teacher.prices.")
    reserve_for_finish: Share = Field(
        default=Decimal("0"),
        description="Share of each limit that exams may not touch, so that an iteration that was begun can be taught,"
        " trained and put to the gate.",
    )

    @model_validator(mode="after")
    def _some_limit(self) -> Budget:
        """The CEL rule above, for those who do not ask an API server."""
        if self.teacher_tokens is None and self.cost is None:
            raise ValueError("one of teacherTokens and cost must be set")
        return self


class Stop(Closed):
    """When the run ends. The first that holds wins."""

    max_iterations: int = Field(default=10, ge=1, le=100, description="Most iterations.")
    accuracy: Share | None = Field(
        default=None,
        description="Target: stop when the lower bound of balanced accuracy on the validation pool reaches this.",
    )
    plateau: Plateau | None = Field(default=None, description="Stop when the student no longer improves.")
    budget: Budget | None = Field(default=None, description="Most that the run may be charged for its teacher.")
    now: bool = Field(default=False, description="Stop at once, keeping the best adapter so far.")


class Retention(Closed):
    """How long the files of a run stay on the workspace."""

    iterations: int = Field(
        default=5,
        ge=1,
        le=20,
        description="How many of the newest iterations keep all their files. Of older ones only what is still compared"
        " with or served from is kept: baseline, best, candidate and the first test. The teacher's ledger always is.",
    )


class FlywheelRunSpec(Closed):
    """Which student, which teacher, how to train, when to stop."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel(
                "!has(self.stop) || !has(self.stop.budget) || !has(self.stop.budget.cost) || has(self.teacher.prices)",
                "stop.budget.cost needs teacher.prices",
            )
        )
    }
    curriculum_ref: LocalRef = Field(
        description="The Curriculum; its current revision is pinned when the run starts. Immutable.",
        json_schema_extra=rules(IMMUTABLE),
    )
    student: Student = Field(description="The small model that learns.")
    teacher: Teacher = Field(description="The large model that examines and teaches.")
    exam: Exam = Field(default_factory=Exam, description="Sizes of what the teacher writes each iteration.")
    training: Training = Field(description="How the adapter is trained.")
    gate: Gate = Field(default_factory=Gate, description="What an adapter must prove before it may be rolled out.")
    stop: Stop = Field(default_factory=Stop, description="When the run ends; the first limit that holds wins.")
    deployment_ref: LocalRef | None = Field(
        default=None, description="The AdapterDeployment that takes this run's candidates."
    )
    retention: Retention = Field(
        default_factory=Retention, description="How long the files of the run stay on the workspace."
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Seed of everything random. Immutable.",
        json_schema_extra=rules(IMMUTABLE),
    )
    suspend: bool = Field(default=False, description="Stop the running Job and start none, until this is false again.")
    jobs: Jobs = Field(default_factory=Jobs, description="Settings of the steps' pods.")

    @model_validator(mode="after")
    def _priced(self) -> FlywheelRunSpec:
        """The CEL rule above, for those who do not ask an API server."""
        if self.stop.budget is not None and self.stop.budget.cost is not None and self.teacher.prices is None:
            raise ValueError("stop.budget.cost needs teacher.prices")
        return self


class Measured(Open):
    """Balanced accuracy on a held-out pool with its interval."""

    accuracy: DecimalText = Field(description="Balanced accuracy: the mean of the recalls of all labels.")
    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")
    items: int = Field(default=0, ge=0, description="Items measured.")
    unparsable: int = Field(default=0, ge=0, description="Answers that could not be read; they count as wrong.")
    over_long: int = Field(default=0, ge=0, description="Questions that did not fit the student; they count as wrong.")


class Arm(Measured):
    """One way of answering without training."""

    name: str = Field(max_length=32, description="majority, base, likelihood or fewShot.")


class Gain(Open):
    """Paired difference between the candidate and another arm on the same items."""

    versus: str = Field(max_length=32, description="The arm compared with.")
    difference: DecimalText = Field(description="Candidate minus the other, in balanced accuracy.")
    low: DecimalText = Field(description="Lower bound.")
    high: DecimalText = Field(description="Upper bound.")


class AcceptedStep(Open):
    """The attempt of a step whose manifest the operator accepted."""

    name: StepName = Field(description="Name of the step.")
    attempt: Annotated[Ordinal, Field(ge=1)] = Field(description="The attempt that won.")
    digest: Digest = Field(description="Digest of its manifest.")


class Iteration(Open):
    """One iteration, compact."""

    number: Ordinal = Field(description="Number of the iteration; 0 is the untrained student.")
    steps: list[AcceptedStep] = Field(
        default_factory=list[AcceptedStep],
        max_length=8,
        description="Accepted steps.",
        json_schema_extra=list_map("name"),
    )
    proficiency: int | None = Field(default=None, ge=1, le=10, description="The teacher's grade, 1 to 10.")
    exam_accuracy: DecimalText | None = Field(default=None, description="On the exam, by the teacher's key.")
    training_items: int | None = Field(default=None, ge=0, description="Examples trained on.")
    adapter: Digest | None = Field(default=None, description="Digest of the adapter trained.")
    loss: str | None = Field(default=None, max_length=16, description="Last training loss.")
    validation: Measured | None = Field(default=None, description="On the validation pool.")
    gains: list[Gain] = Field(
        default_factory=list[Gain],
        max_length=8,
        description="On the validation pool: this adapter minus other arms and adapters.",
        json_schema_extra=list_map("versus"),
    )
    tested: bool = Field(default=False, description="Whether the test pool was opened for it.")
    refused: bool = Field(default=False, description="Whether its test was refused: other runs have spent the pool.")


class Best(Open):
    """The best adapter so far on the validation pool: it sits the next exam."""

    iteration: int = Field(ge=1, description="Where it was trained.")
    digest: Digest = Field(description="Digest of the adapter.")
    accuracy: DecimalText = Field(description="Its balanced accuracy on the validation pool.")
    train: AcceptedStep = Field(description="The attempt that trained it.")
    validated: AcceptedStep = Field(description="The attempt that validated it.")


class Candidate(Open):
    """An adapter that passed the gate: what an AdapterDeployment may take."""

    iteration: int = Field(ge=1, description="Where it was trained.")
    digest: Digest = Field(description="Digest of the adapter.")
    train: AcceptedStep = Field(description="The attempt that trained it.")
    validated: AcceptedStep = Field(description="The attempt that validated it.")
    test: AcceptedStep = Field(description="The attempt that tested it, with its probes.")


class FloorReport(Open):
    """Whether a label's recall is held on the test pool."""

    label: str = Field(max_length=63, description="The label.")
    low: DecimalText = Field(description="Lowest lower bound of the difference of recall.")
    margin: DecimalText = Field(description="The margin asked for.")
    held: bool = Field(description="Whether the bound is above minus the margin.")


class TestReport(Measured):
    """The last candidate on the test pool."""

    __test__ = False  # not a pytest class
    iteration: int = Field(ge=1, description="The iteration tested.")
    passed: bool = Field(description="Whether it passed the gate.")
    arms: list[Arm] = Field(
        default_factory=list[Arm],
        max_length=8,
        description="Untrained arms on the same items.",
        json_schema_extra=list_map("name"),
    )
    gains: list[Gain] = Field(
        default_factory=list[Gain],
        max_length=8,
        description="Candidate minus each arm.",
        json_schema_extra=list_map("versus"),
    )
    floors: list[FloorReport] = Field(
        default_factory=list[FloorReport],
        max_length=16,
        description="The labels of gate.labels.",
        json_schema_extra=list_map("label"),
    )


class RunUsage(Open):
    """What the run has cost so far."""

    teacher_calls: int = Field(default=0, ge=0, description="Teacher calls paid.")
    teacher_tokens: int = Field(default=0, ge=0, description="Teacher tokens charged, in and out.")
    teacher_input_tokens: int = Field(default=0, ge=0, description="Of these, tokens in.")
    teacher_output_tokens: int = Field(default=0, ge=0, description="Of these, tokens out.")
    teacher_cached_tokens: int = Field(default=0, ge=0, description="Of those in, found in the endpoint's cache.")
    lost_in_flight: int = Field(
        default=0, ge=0, description="Requests that were cut off: charged with the most that they can have cost."
    )
    unaffordable: int = Field(default=0, ge=0, description="Calls not made, because the budget did not cover them.")
    cost: DecimalText | None = Field(default=None, description="Cost at teacher.prices, rounded up.")


class ReplyCount(Open):
    """Replies of the teacher that were read in one way."""

    rung: Annotated[str, Field(max_length=32)] = Field(
        description="strict, block, items, repaired, none, cut, empty, refused or filtered."
    )
    count: int = Field(ge=0, description="How many.")


class Quarantined(Open):
    """Items of the teacher that were held-out ones, for one reason."""

    reason: str = Field(max_length=64, description="HeldOutCopy (equal once normalised) or HeldOutNear.")
    items: int = Field(ge=0, description="How many were left out.")


class Redacted(Open):
    """Replacements of one kind."""

    kind: str = Field(max_length=32, description="secrets, emails, hosts or names.")
    replaced: int = Field(ge=0, description="How many were replaced.")


class LeakageReport(Open):
    """What the leakage firewall did: everything the teacher wrote is compared with every held-out item."""

    checked: int = Field(default=0, ge=0, description="Items of the teacher that were compared.")
    quarantined: list[Quarantined] = Field(
        default_factory=list[Quarantined],
        max_length=8,
        description="Items left out, by reason; listed in quarantine.jsonl of exam and evaluate.",
        json_schema_extra=list_map("reason"),
    )


class Progress(Open):
    """Of the running step, from its log; at most once a minute."""

    line: str = Field(max_length=512, description="The newest line of the step's log that reports progress.")
    time: datetime = Field(description="When it was read.")


class FlywheelRunStatus(Open):
    """What the operator knows of a run."""

    observed_generation: int = Field(default=0, ge=0, description="The generation of spec that this status is about.")
    conditions: list[Condition] = Field(
        default_factory=list[Condition],
        max_length=16,
        description="Ready, Reconciling, Stalled, Completed, Failed, HeldOutExhausted, Underpowered,"
        " PromptingSuffices, TeacherRefusals.",
        json_schema_extra=list_map("type"),
    )
    curriculum: PinnedRevision | None = Field(default=None, description="The revision that the run is pinned to.")
    workspace_claim: str | None = Field(default=None, max_length=253, description="The claim that holds its files.")
    iteration: Ordinal = Field(default=0, description="Iteration at work; 0 measures the untrained student.")
    step: str | None = Field(default=None, max_length=32, description="Step at work.")
    attempt: Attempt | None = Field(default=None, description="Attempts of the step at work.")
    current: Iteration | None = Field(default=None, description="What the iteration at work has so far.")
    proficiency: int | None = Field(default=None, ge=1, le=10, description="The teacher's newest grade, 1 to 10.")
    exam_accuracy: DecimalText | None = Field(default=None, description="On the newest exam.")
    validation: Measured | None = Field(default=None, description="The newest adapter on the validation pool.")
    baseline: list[Arm] = Field(
        default_factory=list[Arm],
        max_length=8,
        description="The untrained student on the validation pool, by arm.",
        json_schema_extra=list_map("name"),
    )
    baseline_step: AcceptedStep | None = Field(default=None, description="The attempt that measured the baseline.")
    best: Best | None = Field(default=None, description="The best adapter so far on the validation pool.")
    candidate: Candidate | None = Field(default=None, description="The newest adapter that passed the gate.")
    first_candidate: Candidate | None = Field(
        default=None, description="The first adapter that passed the gate: later ones may not fall far below it."
    )
    test: TestReport | None = Field(default=None, description="The newest test.")
    test_openings: int = Field(
        default=0, ge=0, description="How often the test pool was opened, by all runs that share its items."
    )
    alpha_spent: SpentText = Field(default="0", description="What these openings have spent of alpha.")
    first_test: AcceptedStep | None = Field(default=None, description="The test whose untrained arms are reused.")
    first_test_iteration: int | None = Field(default=None, ge=1, description="The iteration of that test.")
    history: list[Iteration] = Field(
        default_factory=list[Iteration],
        max_length=20,
        description="The newest iterations.",
        json_schema_extra=list_map("number"),
    )
    served_model: ServedModel | None = Field(
        default=None, description="Digest of the name of the model that the teacher's endpoint answered as."
    )
    replies: list[ReplyCount] = Field(
        default_factory=list[ReplyCount],
        max_length=16,
        description="Replies of the teacher, by how they were read.",
        json_schema_extra=list_map("rung"),
    )
    usage: RunUsage = Field(default_factory=RunUsage, description="What the run has cost so far.")
    leakage: LeakageReport | None = Field(default=None, description="What the leakage firewall did so far.")
    redacted: list[Redacted] = Field(
        default_factory=list[Redacted],
        max_length=8,
        description="What was replaced in prompts, by kind.",
        json_schema_extra=list_map("kind"),
    )
    progress: Progress | None = Field(default=None, description="Of the running step.")
    started_at: datetime | None = Field(default=None, description="When the first step started.")
    ended_at: datetime | None = Field(default=None, description="When the run ended.")


class FlywheelRun(Open):
    """Improve a student on a Curriculum, iteration by iteration, until a stated reason to stop."""

    api_version: Literal["flywheel.dev/v1alpha1"] = "flywheel.dev/v1alpha1"
    kind: Literal["FlywheelRun"] = "FlywheelRun"
    metadata: Metadata
    spec: FlywheelRunSpec
    status: FlywheelRunStatus = FlywheelRunStatus()


_FROZEN = "is fixed once iteration 1 has begun: stop the run and create a new one"
# What nothing could tell the operator again. Of all else in status it finds out the truth, or says that it cannot.
_STATUS_RULES = (
    Cel(
        "!has(self.status) || has(self.status.endedAt) == (has(self.status.conditions) &&"
        " self.status.conditions.exists(c, c.type in ['Completed', 'Failed'] && c.status == 'True'))",
        "status: Completed, Failed and endedAt belong together, and only the operator ends a run: set spec.stop.now",
    ),
    Cel(
        "!has(oldSelf.status) || !has(oldSelf.status.endedAt) || (has(self.status) && has(self.status.endedAt))",
        "status.endedAt stays: an ended run does not begin again, create a new one",
    ),
    *(
        Cel(
            f"!has(oldSelf.status) || !has(oldSelf.status.{field})"
            f" || (has(self.status) && has(self.status.{field}) && self.status.{field} == oldSelf.status.{field})",
            f"status.{field} stays: the run is pinned to it, create a new run",
        )
        for field in ("curriculum", "workspaceClaim")
    ),
)
_FREE = "!has(oldSelf.status) || !has(oldSelf.status.iteration) || oldSelf.status.iteration < 1"
FLYWHEELRUN_RULES = (
    tuple(
        Cel(
            f"{_FREE} || (has(self.spec.{field}) == has(oldSelf.spec.{field})"
            f" && (!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field}))",
            f"spec.{field} {_FROZEN}",
        )
        for field in ("exam", "training")
    )
    + tuple(
        Cel(
            f"{_FREE} || self.spec.teacher.{field} == oldSelf.spec.teacher.{field}",
            f"spec.teacher.{field} {_FROZEN}",
        )
        for field in ("model", "baseURL")
    )
    + _STATUS_RULES
)
