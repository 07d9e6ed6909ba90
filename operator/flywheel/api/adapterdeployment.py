"""AdapterDeployment: where the winner serves. Not the property of a run: a deleted run takes nothing out of service."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flywheel.api.conditions import Condition
from flywheel.api.curriculum import Attempt
from flywheel.api.curriculum import Revision as CurriculumRevision
from flywheel.api.flywheelrun_status import AcceptedStep
from flywheel.api.jobs import Jobs
from flywheel.api.metadata import Metadata
from flywheel.api.model import (
    Closed,
    Digest,
    Duration,
    Open,
    Rule,
    Share,
    list_map,
    list_type,
    rules,
)
from flywheel.api.target import BASE, Pin, Target
from flywheel.api.workspace import WorkspaceRef

# <model>-<12 digits>
StoredName = Annotated[str, Field(max_length=76)]
MOST_STORED = 64


AS_SERVED_OF_TRITON = "verification.asServed is for target.triton: vllm and nim are asked the probes only"
# Under vLLM and NIM every pod has both names from the start: no pod is first, and no load can be compared.
CANARY_OF_TRITON = "rollout.canary is for target.triton: vllm and nim have both adapters on every pod"
# An engine of vLLM reads its adapter when it is first asked, and again later: what serves must stay on the volume.
KEEP_UNDER_VLLM = (
    "keep must be at least 1 under target.triton.backend Vllm: engines read adapters again while they serve"
)
BASE_UNDER_VLLM = "pin: Base is not for target.triton.backend Vllm: there clients get the base by naming no lora_name"
_VLLM = "has(self.target.triton) && self.target.triton.backend == 'Vllm'"


class AsServed(Closed):
    """The validation pool, asked through one pod before the stable name moves (SCIENCE 7)."""

    margin: Share = Field(
        default=Decimal("0.02"),
        description="How far the balanced accuracy as served may be below the one that was measured: the whole interval"
        " of the paired difference at 0.95 must be above minus this.",
    )


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
    as_served: AsServed | None = Field(
        default=None, description="Ask one pod the whole validation pool, too; not done when absent."
    )


class Canary(Closed):
    """Some pods first, and a pause in which they are compared with the others."""

    pods: int = Field(default=1, ge=1, le=256, description="How many pods serve the candidate first.")
    pause: Duration = Field(default="10m", description="How long they are watched before the others follow.")


class RolloutRules(Closed):
    """How a verified candidate comes to all pods."""

    canary: Canary | None = Field(
        default=None, description="Some pods first; all at once when absent, and where nothing served before."
    )


class AdapterDeploymentSpec(Closed):
    """Where the winner serves, and what it must show first."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Rule("!has(self.rollout) || !has(self.rollout.canary) || has(self.target.triton)", CANARY_OF_TRITON),
            Rule(
                "!has(self.verification) || !has(self.verification.asServed) || has(self.target.triton)",
                AS_SERVED_OF_TRITON,
            ),
            Rule(f"!({_VLLM}) || self.keep > 0", KEEP_UNDER_VLLM),
            Rule(f"!({_VLLM}) || !has(self.pin) || self.pin != '{BASE}'", BASE_UNDER_VLLM),
        )
    }
    target: Target = Field(description="Where adapters are served. Immutable but for tls and credentialsRef.")
    approval: Literal["Automatic", "Manual"] = Field(
        default="Automatic", description="Whether a candidate waits for approvedDigest to name it."
    )
    approved_digest: Digest | None = Field(
        default=None, description="The candidate that may be rolled out where approval is Manual; see status.waiting."
    )
    pin: Pin | None = Field(
        default=None,
        description="Serve this: the digest of an adapter in status.previous or of a run's candidate, or Base for the"
        " bare student. No candidate is rolled out meanwhile; without it the newest candidate is rolled out again.",
    )
    verification: Verification = Field(
        default_factory=Verification, description="What a serving pod must show before an adapter serves."
    )
    rollout: RolloutRules = Field(
        default_factory=RolloutRules, description="How a verified candidate comes to all pods."
    )
    keep: int = Field(
        default=2, ge=0, le=10, description="How many adapters that served before stay at hand, for pin to go back to."
    )
    jobs: Jobs = Field(default_factory=Jobs, description="Settings of the pods of publish and verify.")

    @model_validator(mode="after")
    def _some_need_triton(self) -> Self:
        """The CEL rules above, for those who do not ask an API server."""
        if self.rollout.canary is not None and self.target.triton is None:
            raise ValueError(CANARY_OF_TRITON)
        if self.verification.as_served is not None and self.target.triton is None:
            raise ValueError(AS_SERVED_OF_TRITON)
        return self

    @model_validator(mode="after")
    def _some_are_not_for_vllm_on_triton(self) -> Self:
        """As above."""
        if self.target.triton is None or self.target.triton.backend != "Vllm":
            return self
        if self.keep == 0:
            raise ValueError(KEEP_UNDER_VLLM)
        if self.pin == BASE:
            raise ValueError(BASE_UNDER_VLLM)
        return self


class Taken(Open):
    """What was taken from a run, to be served."""

    digest: Pin = Field(description="Digest of the adapter, or Base.")
    run: str = Field(max_length=253, description="The FlywheelRun that it came from.")
    iteration: int = Field(ge=1, description="The iteration that trained it.")
    run_created: datetime = Field(description="When that run was created: candidates of newer runs are newer.")
    workspace: WorkspaceRef = Field(description="Where the adapter's files are.")
    staged: Digest | None = Field(default=None, description="Manifest of the published adapter.")
    contract: Digest | None = Field(
        default=None, description="For Base, the adapter whose contract says how it is asked."
    )

    @model_validator(mode="after")
    def _base_has_a_contract(self) -> Self:
        if (self.digest == BASE) != (self.contract is not None):
            raise ValueError("contract is there for Base, and only for it")
        return self

    @property
    def adapter(self) -> str:
        """The published adapter whose files are needed."""
        return self.contract or self.digest


class Revision(Taken):
    """One adapter that serves, or did, or waits to, or never will."""

    since: datetime | None = Field(default=None, description="Since when.")


class PodCount(Open):
    """What a pod's server has counted of the stable model since it began."""

    name: str = Field(max_length=253, description="Name of the pod.")
    answered: int = Field(ge=0, description="Requests answered.")
    failed: int = Field(ge=0, description="Requests failed.")
    microseconds: int = Field(ge=0, description="Time that the answered ones took, together.")


class CanaryRecord(Open):
    """Where a canary began."""

    since: datetime = Field(description="When the first pods served the candidate.")
    pods: list[PodCount] = Field(
        default_factory=list[PodCount],
        max_length=256,
        description="What every pod had counted then.",
        json_schema_extra=list_map("name"),
    )


class Rollout(Taken):
    """What is being rolled out, and how far it is."""

    run_path: str = Field(default="", max_length=512, description="The run's folder in the workspace.")
    train: AcceptedStep | None = Field(
        default=None, description="The attempt that trained it; absent for what was published before."
    )
    validated: AcceptedStep | None = Field(default=None, description="The attempt that validated it.")
    test: AcceptedStep | None = Field(default=None, description="The attempt that tested it.")
    curriculum: CurriculumRevision | None = Field(default=None, description="The revision that it was taught from.")
    on_server: bool = Field(default=False, description="Whether the servers' volume has it.")
    verified: bool = Field(default=False, description="Whether every pod answered the probes as measured.")
    verified_pods: list[Annotated[str, Field(max_length=253)]] = Field(
        default_factory=list[str],
        max_length=256,
        description="The pods that did.",
        json_schema_extra=list_type("set"),
    )
    committed: bool = Field(default=False, description="Whether the stable model on disk names it.")
    canary: CanaryRecord | None = Field(default=None, description="The canary at work.")


class ServingPod(Open):
    """One serving pod."""

    name: str = Field(max_length=253, description="Name of the pod.")
    revision: str = Field(default="", max_length=71, description="Adapter that answers under the stable name.")
    verified: bool = Field(default=False, description="Whether this pod answered the probes with it as measured.")
    losses: int = Field(default=0, ge=0, description="Times in a row that it lost the adapter before it was verified.")
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
    on_disk: Pin | None = Field(default=None, description="What a server that starts now would serve.")
    waiting: Revision | None = Field(default=None, description="The candidate that waits for spec.approvedDigest.")
    previous: list[Revision] = Field(
        default_factory=list[Revision],
        max_length=10,
        description="What served before, the latest first: spec.pin may name one of them.",
        json_schema_extra=list_map("digest"),
    )
    alias: str | None = Field(
        default=None, max_length=253, description="Under vllm and nim: the name that clients are to ask."
    )
    stored: list[StoredName] = Field(
        default_factory=list[str],
        max_length=MOST_STORED,
        description="Under vllm and nim: the adapters' folders in the store.",
        json_schema_extra=list_type("set"),
    )
    retiring: list[StoredName] = Field(
        default_factory=list[str],
        max_length=MOST_STORED,
        description="Those of them that are being removed.",
        json_schema_extra=list_type("set"),
    )
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
