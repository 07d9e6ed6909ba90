"""FlywheelRun: which student, which teacher, how to train, when to stop. Its status has a file of its own."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from flywheel.api.endpoint import ConfigMapKeyRef, Header, ProxyURL, QueryParameter, StructuredOutputs
from flywheel.api.evaluation import Evaluation
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.gate import Gate
from flywheel.api.jobs import Jobs, JobSettings, QueueName
from flywheel.api.limits import Limits
from flywheel.api.metadata import Metadata
from flywheel.api.model import (
    IMMUTABLE,
    Amount,
    ClaimRef,
    Closed,
    Duration,
    LocalRef,
    Open,
    PositiveDecimal,
    RelativePath,
    Share,
    Weight,
    Word,
    list_map,
    rules,
)
from flywheel.api.model import Rule as Cel
from flywheel.api.money import Prices
from flywheel.api.request import Lora


class ModelClaim(ClaimRef):
    """A base model on a PersistentVolumeClaim."""

    path: RelativePath = Field(description="Folder on the claim with config.json, safetensors and tokenizer.")


class HubModel(Closed):
    """A base model on a Hugging Face hub, downloaded once onto the workspace."""

    repo: str = Field(
        max_length=193,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?$",
        description="Repository, such as org/model.",
    )
    revision: str = Field(
        max_length=40, pattern=r"^[0-9a-f]{40}$", description="Commit, all 40 digits: branches and tags move."
    )
    token_secret_ref: LocalRef | None = Field(
        default=None, description="Secret with the key hubToken, for a private or gated repository."
    )


class StudentModel(Closed):
    """Where the base model comes from."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel("has(self.persistentVolumeClaim) != has(self.hub)", "exactly one of persistentVolumeClaim and hub")
        )
    }
    persistent_volume_claim: ModelClaim | None = Field(default=None, description="A claim that holds the base model.")
    hub: HubModel | None = Field(default=None, description="A repository on a hub.")

    @model_validator(mode="after")
    def _one_place(self) -> StudentModel:
        """The CEL rule above, for those who do not ask an API server."""
        if (self.persistent_volume_claim is None) == (self.hub is None):
            raise ValueError("exactly one of persistentVolumeClaim and hub")
        return self

    @property
    def name(self) -> str:
        """What the model is called where nobody says otherwise."""
        if self.hub is not None:
            return self.hub.repo
        return self.persistent_volume_claim.path if self.persistent_volume_claim is not None else ""


class Student(Closed):
    """The small model that learns."""

    model: StudentModel = Field(
        description="The base model, in the format of Hugging Face. Immutable.", json_schema_extra=rules(IMMUTABLE)
    )
    served_name: Word | None = Field(
        default=None, description="Name written into the adapter as its base model; the model's folder when absent."
    )
    batch_size: int = Field(default=32, ge=1, le=1024, description="Questions answered at once.")


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
    headers: list[Header] = Field(
        default_factory=list[Header],
        max_length=16,
        description="Literal headers of every request, such as openai-organization. Never a key.",
        json_schema_extra=list_map("name"),
    )
    query: list[QueryParameter] = Field(
        default_factory=list[QueryParameter],
        max_length=16,
        description="Literal parameters of every request's URL, such as api-version. Never a key.",
        json_schema_extra=list_map("name"),
    )
    ca_bundle_ref: ConfigMapKeyRef | None = Field(
        default=None,
        description="CA certificates in PEM: only what they have signed is trusted. The system's own when absent.",
    )
    proxy: ProxyURL | None = Field(
        default=None,
        description="HTTP proxy for every request, without credentials. Its host must be listed in the Secret's key"
        " `hosts` too.",
    )
    structured_outputs: StructuredOutputs | None = Field(
        default=None,
        description="Have the endpoint itself keep replies to JSON (JSONObject), or to a strict schema made from the"
        " task's schemas (JSONSchema). One that cannot do it refuses the request. Replies are checked all the same.",
    )


class Exam(Closed):
    """Sizes of what the teacher writes each iteration."""

    questions: int = Field(default=200, ge=4, le=10000, description="Questions in an exam.")
    examples: int = Field(default=400, ge=4, le=100000, description="New training examples an iteration.")
    votes: int = Field(
        default=3,
        ge=1,
        le=9,
        description="How often the teacher labels each item that it wrote, without seeing its label. What more than"
        " half of the votes do not confirm is left out. Asked until that is certain: of 3 votes mostly 2.",
    )


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
    label_weight: Weight = Field(
        default=Decimal(1),
        description="How often the loss of the label's tokens counts, beside that of the answer's text; 1: as often.",
    )
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


_SOME_LIMIT = "one of teacherTokens, cost, gpuHours and wallTime must be set"


class Budget(Closed):
    """Most that the run may use. Teacher requests that were cut off count as what they might cost."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel("has(self.teacherTokens) || has(self.cost) || has(self.gpuHours) || has(self.wallTime)", _SOME_LIMIT)
        )
    }
    teacher_tokens: int | None = Field(default=None, ge=1, le=10**15, description="Teacher tokens, in and out.")
    cost: Amount | None = Field(default=None, description="Money, in the currency of teacher.prices.")
    gpu_hours: Amount | None = Field(
        default=None, description="GPUs times hours, while pods of the steps run; failed attempts included."
    )
    wall_time: Duration | None = Field(
        default=None, description="Time while pods of the steps run; waiting in a queue or suspended does not count."
    )
    reserve_for_finish: Share = Field(
        default=Decimal("0"),
        description="Share of each limit that exams may not touch, so that an iteration that was begun can be taught,"
        " trained and put to the gate.",
    )

    @model_validator(mode="after")
    def _some_limit(self) -> Budget:
        """The CEL rule above, for those who do not ask an API server."""
        if self.teacher_tokens is None and self.cost is None and self.gpu_hours is None and self.wall_time is None:
            raise ValueError(_SOME_LIMIT)
        return self


class Stop(Closed):
    """When the run ends. The first that holds wins."""

    max_iterations: int = Field(default=10, ge=1, le=100, description="Most iterations.")
    accuracy: Share | None = Field(
        default=None,
        description="Target: stop when the lower bound of balanced accuracy on the validation pool reaches this.",
    )
    plateau: Plateau | None = Field(default=None, description="Stop when the student no longer improves.")
    budget: Budget | None = Field(default=None, description="Most that the run may use: teacher, GPUs, time.")
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


_NO_CANDIDATE = "a control run has no candidate for a deployment: leave out control or deploymentRef"


class FlywheelRunSpec(Closed):
    """Which student, which teacher, how to train, when to stop."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel(
                "!has(self.stop) || !has(self.stop.budget) || !has(self.stop.budget.cost) || has(self.teacher.prices)",
                "stop.budget.cost needs teacher.prices",
            ),
            Cel(
                "!has(self.gate) || !has(self.gate.preference) || has(self.evaluation)",
                "gate.preference needs evaluation.judge",
            ),
            Cel(
                "!has(self.control) || !self.control || !has(self.deploymentRef)",
                _NO_CANDIDATE,
            ),
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
    evaluation: Evaluation | None = Field(
        default=None, description="Who judges the texts of answers, where the Curriculum's task.scoring is Judge."
    )
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
    control: bool = Field(
        default=False,
        description="A control beside another run: trained on as many seed items instead of the teacher's examples, to"
        " see what the teacher adds. Measured on validation only; no adapter of it is ever a candidate. Immutable.",
        json_schema_extra=rules(IMMUTABLE),
    )
    suspend: bool = Field(default=False, description="Stop the running Job and start none, until this is false again.")
    queue_name: QueueName | None = Field(
        default=None,
        description="Kueue LocalQueue of the run's Jobs: each is created suspended, and runs once it is admitted. For"
        " another queue of a single step, or for none, set Kueue's label in jobs.steps[].labels, to nothing for none.",
    )
    jobs: Jobs = Field(default_factory=Jobs, description="Settings of the steps' pods.")

    def job_settings(self, step: str) -> JobSettings:
        """The settings of one step's Job, in its queue."""
        return self.jobs.for_step(step).queued(self.queue_name)

    @model_validator(mode="after")
    def _complete(self) -> FlywheelRunSpec:
        """The CEL rules above, for those who do not ask an API server."""
        if self.stop.budget is not None and self.stop.budget.cost is not None and self.teacher.prices is None:
            raise ValueError("stop.budget.cost needs teacher.prices")
        if self.gate.preference is not None and self.evaluation is None:
            raise ValueError("gate.preference needs evaluation.judge")
        if self.control and self.deployment_ref is not None:
            raise ValueError(_NO_CANDIDATE)
        return self


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
        for field in ("curriculum", "workspace")
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
    + tuple(
        Cel(
            f"{_FREE} || (has(self.spec.teacher.{field}) == has(oldSelf.spec.teacher.{field})"
            f" && (!has(self.spec.teacher.{field})"
            f" || self.spec.teacher.{field} == oldSelf.spec.teacher.{field}))",
            f"spec.teacher.{field} {_FROZEN}",
        )
        for field in ("query", "structuredOutputs")
    )
    + tuple(
        Cel(
            f"{_FREE} || (has(self.spec.evaluation) == has(oldSelf.spec.evaluation) && (!has(self.spec.evaluation)"
            f" || self.spec.evaluation.judge.{field} == oldSelf.spec.evaluation.judge.{field}))",
            f"spec.evaluation.judge.{field} {_FROZEN}",
        )
        for field in ("model", "baseURL", "items")
    )
    + _STATUS_RULES
)
