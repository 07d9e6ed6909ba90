"""AdapterDeployment: where the winner serves. Not the property of a run: a deleted run takes nothing out of service."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from flywheel.api.conditions import Condition
from flywheel.api.curriculum import Attempt
from flywheel.api.curriculum import Revision as CurriculumRevision
from flywheel.api.flywheelrun_status import AcceptedStep
from flywheel.api.jobs import Jobs
from flywheel.api.metadata import Metadata
from flywheel.api.model import (
    IMMUTABLE,
    ClaimRef,
    Closed,
    Digest,
    LocalRef,
    Open,
    Share,
    Word,
    list_map,
    list_type,
    rules,
)
from flywheel.api.workspace import WorkspaceRef


class Repository(Closed):
    """The server's model repository."""

    persistent_volume_claim: ClaimRef = Field(description="The claim that the server mounts as its repository.")


class TritonTarget(Closed):
    """A Triton server with the Python backend, in explicit model control mode."""

    service_ref: LocalRef = Field(description="The Service whose endpoints are the serving pods.")
    port: int = Field(default=8001, ge=1, le=65535, description="gRPC port of the pods.")
    model: Word = Field(description="The stable model name that clients ask.")
    repository: Repository = Field(description="The model repository that the server reads.")


class Target(Closed):
    """Where adapters are served."""

    triton: TritonTarget = Field(description="A Triton server.")


class Verification(Closed):
    """What a serving pod must show before an adapter serves under the stable name."""

    probes: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Fewest probe questions, on which base and candidate disagree, that must be asked.",
    )
    agreement: Share = Field(
        default=Decimal("0.95"),
        description="Share of the probes on which the pod must answer as measured.",
    )


class AdapterDeploymentSpec(Closed):
    """Where the winner serves, and what it must show first."""

    target: Target = Field(description="Where adapters are served. Immutable.", json_schema_extra=rules(IMMUTABLE))
    verification: Verification = Field(
        default_factory=Verification, description="What a serving pod must show before an adapter serves."
    )
    jobs: Jobs = Field(default_factory=Jobs, description="Settings of the pods of publish and verify.")


class Revision(Open):
    """One adapter on its way to, or in, service."""

    digest: Digest = Field(description="Digest of the adapter.")
    run: str = Field(max_length=253, description="The FlywheelRun that it came from.")
    iteration: int = Field(ge=1, description="The iteration that trained it.")
    run_created: datetime = Field(description="When that run was created: candidates of newer runs are newer.")
    since: datetime | None = Field(default=None, description="When it began to serve.")


class Rollout(Open):
    """The candidate being rolled out, and how far it is."""

    digest: Digest = Field(description="Digest of the adapter.")
    run: str = Field(max_length=253, description="The FlywheelRun that it came from.")
    iteration: int = Field(ge=1, description="The iteration that trained it.")
    run_created: datetime = Field(description="When that run was created: candidates of newer runs are newer.")
    workspace: WorkspaceRef = Field(description="Where the run's files are.")
    run_path: str = Field(max_length=512, description="The run's folder in the workspace.")
    train: AcceptedStep = Field(description="The attempt that trained it.")
    test: AcceptedStep = Field(description="The attempt that tested it.")
    curriculum: CurriculumRevision | None = Field(default=None, description="The revision that it was taught from.")
    staged: Digest | None = Field(default=None, description="Manifest of the staged adapter.")
    verified: bool = Field(default=False, description="Whether every pod answered the probes as measured.")
    verified_pods: list[Annotated[str, Field(max_length=253)]] = Field(
        default_factory=list[str],
        max_length=256,
        description="The pods that did.",
        json_schema_extra=list_type("set"),
    )
    committed: bool = Field(default=False, description="Whether the stable model on disk names it.")


class ServingPod(Open):
    """One serving pod."""

    name: str = Field(max_length=253, description="Name of the pod.")
    revision: str = Field(default="", max_length=71, description="Adapter that answers under the stable name.")
    verified: bool = Field(default=False, description="Whether that adapter was verified.")
    since: datetime | None = Field(default=None, description="Since when.")


class AdapterDeploymentStatus(Open):
    """What the operator knows of an AdapterDeployment."""

    observed_generation: int = Field(default=0, ge=0, description="The generation of spec that this status is about.")
    conditions: list[Condition] = Field(
        default_factory=list[Condition],
        max_length=16,
        description="Ready, Reconciling and Stalled.",
        json_schema_extra=list_map("type"),
    )
    serving: Revision | None = Field(default=None, description="The adapter that answers under the stable name.")
    rollouts: int = Field(default=0, ge=0, description="Rollouts begun so far; numbers their Jobs and folders.")
    rollout: Rollout | None = Field(default=None, description="The candidate being rolled out.")
    rejected: list[Revision] = Field(
        default_factory=list[Revision],
        max_length=10,
        description="Candidates that failed verification; they are not tried again.",
        json_schema_extra=list_map("digest"),
    )
    step: str | None = Field(default=None, max_length=32, description="What is being done.")
    attempt: Attempt | None = Field(default=None, description="Attempts of the step at work.")
    pods: list[ServingPod] = Field(
        default_factory=list[ServingPod],
        max_length=256,
        description="The serving pods.",
        json_schema_extra=list_map("name"),
    )


class AdapterDeployment(Open):
    """Keep the best verified adapter serving."""

    api_version: Literal["flywheel.dev/v1alpha1"] = "flywheel.dev/v1alpha1"
    kind: Literal["AdapterDeployment"] = "AdapterDeployment"
    metadata: Metadata
    spec: AdapterDeploymentSpec
    status: AdapterDeploymentStatus = AdapterDeploymentStatus()
