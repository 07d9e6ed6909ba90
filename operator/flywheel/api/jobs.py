"""`jobs`: what a user may say about the pods of the steps. Closed: everything else is the operator's.

Token mount, service account and security context are not here on purpose.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from flywheel.api.model import Closed, Duration, LocalRef, ObjectName, list_map, list_type, rules
from flywheel.api.model import Rule as Cel

StepName = Literal[
    "prepare", "fetch", "preflight", "exam", "answer", "evaluate", "train", "validate", "test", "judge", "publish",
    "verify", "report", "cleanup",
]  # fmt: skip

_QUANTITY = r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[mkMGTPE]|[eE][0-9]{1,2})?$"
_QUANTITY_MAX = 32


def _quantity(value: object) -> str:
    """Text or a whole number, as the API server takes it."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return str(value)
    if isinstance(value, str) and len(value) <= _QUANTITY_MAX and re.fullmatch(_QUANTITY, value):
        return value
    raise ValueError("is no quantity such as 2, 500m or 16Gi")


Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "maxLength": _QUANTITY_MAX,
            "pattern": _QUANTITY,
        }
    ),
]
_GPU = re.compile(r"/(gpu|mig-)")  # nvidia.com/gpu, amd.com/gpu, nvidia.com/mig-1g.10gb
ResourceName = Annotated[str, Field(max_length=253)]
_ZERO = "^0+([.]0+)?([A-Za-z]|$)"
_NO_MEMORY = "memory must be more than 0: to Kubernetes a limit of 0 is none at all"


def _memory_rule(field: str) -> Cel:
    return Cel(
        f"!has(self.{field}) || !('memory' in self.{field}) || !string(self.{field}['memory']).matches('{_ZERO}')",
        f"{field}: {_NO_MEMORY}",
    )


def gpus(limits: Mapping[str, object]) -> int:
    """GPUs among resource limits, whoever makes them; a slice of one (MIG) counts as one."""
    return sum(int(str(count)) for name, count in limits.items() if _GPU.search(name) and str(count).isdecimal())


class Resources(Closed):
    """Compute resources of the step's container."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(_memory_rule("requests"), _memory_rule("limits")),
    }

    requests: dict[ResourceName, Quantity] = Field(
        default_factory=dict[str, str], max_length=16, description="What the scheduler sets aside, by resource name."
    )
    limits: dict[ResourceName, Quantity] = Field(
        default_factory=dict[str, str],
        max_length=16,
        description="The most the step may use, by resource name; such as nvidia.com/gpu.",
    )

    @field_validator("requests", "limits")
    @classmethod
    def _some_memory(cls, quantities: dict[str, str]) -> dict[str, str]:
        """The CEL rules above, for those who do not ask an API server."""
        if re.match(_ZERO, quantities.get("memory", "1")):
            raise ValueError(_NO_MEMORY)
        return quantities


class Toleration(Closed):
    """Lets the step's pod onto nodes with a matching taint."""

    key: str | None = Field(default=None, max_length=316, description="Taint key; empty with Exists matches all.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="How key and value are compared.")
    value: str | None = Field(default=None, max_length=63, description="Taint value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint effect; absent matches all."
    )


class EnvVar(Closed):
    """A literal environment variable; secrets do not belong here."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Cel("!self.name.startsWith('FLYWHEEL_')", "names beginning FLYWHEEL_ belong to the operator")
        )
    }
    name: str = Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the variable.")
    value: str = Field(max_length=4096, description="Literal value; never expanded.")

    @field_validator("name")
    @classmethod
    def _not_ours(cls, name: str) -> str:
        """The CEL rule above, for those who do not ask an API server."""
        if name.startswith("FLYWHEEL_"):
            raise ValueError("names beginning FLYWHEEL_ belong to the operator")
        return name


# Kueue's: the LocalQueue of a Job. A Job that names one waits until it is admitted.
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# A LocalQueue, as a label can name it.
QueueName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
MarkKey = Annotated[str, Field(max_length=316)]
_RESERVED = ("flywheel.dev/", "app.kubernetes.io/", "batch.kubernetes.io/", "job-name", "controller-uid")
_NOT_YOURS = f"keys beginning {', '.join(_RESERVED)} belong to the operator and to Kubernetes"
# What confines the step's container is the operator's.
_CONFINES = "container.apparmor.security.beta.kubernetes.io/"
_NO_PROFILE = f"keys beginning {_CONFINES} confine the container: they are the operator's"
_SYSTEM = "system-"
_NO_SYSTEM = f"priority classes beginning {_SYSTEM} are the cluster's own"


def _none_begins(field: str, prefixes: tuple[str, ...], message: str) -> Cel:
    each = " && ".join(f"!k.startsWith('{prefix}')" for prefix in prefixes)
    return Cel(f"!has(self.{field}) || self.{field}.all(k, {each})", f"{field}: {message}")


class JobSettings(Closed):
    """How the pods of a step run."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            _none_begins("labels", _RESERVED, _NOT_YOURS),
            _none_begins("annotations", (_CONFINES,), _NO_PROFILE),
            Cel(f"!has(self.priorityClassName) || !self.priorityClassName.startsWith('{_SYSTEM}')", _NO_SYSTEM),
        )
    }
    image: str | None = Field(
        default=None, min_length=1, max_length=512, description="Image of the step; the operator's own when absent."
    )
    resources: Resources | None = Field(default=None, description="Requests and limits of the step's container.")
    timeout: Duration | None = Field(
        default=None,
        description="The longest a step's pod may run, such as 90s, 15m or 12h; waiting for a node does not count.",
    )
    attempts: int | None = Field(
        default=None,
        ge=1,
        le=20,
        description="How often a failing step is started in all before the run fails; evictions do not count.",
    )
    node_selector: dict[Annotated[str, Field(max_length=316)], Annotated[str, Field(max_length=63)]] | None = Field(
        default=None, max_length=16, description="Labels that the node must have."
    )
    tolerations: list[Toleration] | None = Field(
        default=None,
        max_length=16,
        description="Taints that the pod tolerates.",
        json_schema_extra=list_type("atomic"),
    )
    runtime_class_name: ObjectName | None = Field(
        default=None, description="RuntimeClass of the pod, such as nvidia where it is not the nodes' default."
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="PriorityClass of the pod, for the scheduler; a queue has its own, by label."
    )
    image_pull_secrets: list[LocalRef] | None = Field(
        default=None,
        max_length=8,
        description="Secrets of type kubernetes.io/dockerconfigjson that the node pulls the pod's images with.",
        json_schema_extra=list_map("name"),
    )
    labels: dict[MarkKey, LabelValue] | None = Field(
        default=None,
        max_length=16,
        description="Labels of the Job and its pod; those that begin kueue.x-k8s.io/ of the Job alone.",
    )
    annotations: dict[MarkKey, Annotated[str, Field(max_length=1024)]] | None = Field(
        default=None, max_length=16, description="Annotations of the Job and its pod, such as of Kueue's topology."
    )
    shm_size: Quantity | None = Field(
        default=None,
        description="Size of /dev/shm, in memory that counts towards the step's limit. Answering has 1Gi and train 2Gi;"
        " other steps have none.",
    )
    env: list[EnvVar] | None = Field(
        default=None,
        max_length=32,
        description="Literal environment variables of the step's container.",
        json_schema_extra=list_map("name"),
    )

    @field_validator("labels", "annotations")
    @classmethod
    def _not_reserved(cls, marks: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        """The CEL rules above, for those who do not ask an API server."""
        prefixes, words = (_RESERVED, _NOT_YOURS) if info.field_name == "labels" else ((_CONFINES,), _NO_PROFILE)
        if any(key.startswith(prefixes) for key in marks or {}):
            raise ValueError(words)
        return marks

    @field_validator("priority_class_name")
    @classmethod
    def _not_of_the_system(cls, name: str | None) -> str | None:
        """The CEL rule above, likewise."""
        if name is not None and name.startswith(_SYSTEM):
            raise ValueError(_NO_SYSTEM)
        return name

    def queued(self, queue: str | None) -> JobSettings:
        """These in a queue; a label of the settings' own wins, and an empty one is none."""
        if queue is None:
            return self
        return self.model_copy(update={"labels": {QUEUE_LABEL: queue} | (self.labels or {})})

    @property
    def digest(self) -> str:
        """Short enough for a label: whether a Job was made from these settings."""
        text = json.dumps(self.to_json_object(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class StepSettings(JobSettings):
    """Settings of one step; they win over the defaults field by field."""

    name: StepName = Field(description="The step that these settings are for.")


class Jobs(Closed):
    """Settings of the steps' pods."""

    defaults: JobSettings = Field(default_factory=JobSettings, description="Settings of every step.")
    steps: list[StepSettings] = Field(
        default_factory=list[StepSettings],
        max_length=16,
        description="Settings of single steps, by name.",
        json_schema_extra=list_map("name"),
    )

    def for_step(self, step: str) -> JobSettings:
        """The settings of one step: its own fields over the defaults."""
        own = next((entry for entry in self.steps if entry.name == step), None)
        chosen = self.defaults.model_dump(exclude_none=True)
        if own is not None:
            chosen |= own.model_dump(exclude_none=True, exclude={"name"})
        return JobSettings.model_validate(chosen)
