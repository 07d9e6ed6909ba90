"""What a decision asks for: Jobs to create and delete, the new status, events, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from flywheel.api.conditions import Event
from flywheel.api.jobs import JobSettings
from flywheel.api.request import StepRequest
from flywheel.api.target import Repository
from flywheel.api.workspace import WorkspaceRef

Status = TypeVar("Status")


@dataclass(frozen=True)
class SourceVolume:
    """Where a source of a Curriculum lies, if not on the workspace: a path on a claim, or a key of a ConfigMap.

    `folder`: where the pod has it, read-only.
    """

    folder: str
    path: str
    claim: str | None = None
    config_map: str | None = None


@dataclass(frozen=True)
class Claims:
    """Where a step's files are: workspace by the request's paths, repository writable, model and sources read-only."""

    workspace: WorkspaceRef
    model: str | None = None
    model_folder: str | None = None
    repository: Repository | None = None
    sources: tuple[SourceVolume, ...] = ()


@dataclass(frozen=True)
class StepJob:
    """One Job to create: one attempt of one step. `rereads`: it only reads the result of that attempt again."""

    name: str
    step: str
    request: StepRequest
    settings: JobSettings
    claims: Claims
    teacher_secret: str | None = None
    rereads: int | None = None
    hub_secret: str | None = None
    serving_secret: str | None = None
    other_secrets: tuple[tuple[str, str], ...] = ()  # prefix of the variables, and the Secret


@dataclass(frozen=True)
class Plan(Generic[Status]):
    """Applied in this order: delete, create, one status write, then events."""

    status: Status
    create: tuple[StepJob, ...] = ()
    delete: tuple[str, ...] = ()
    requeue_after: float | None = None
    events: tuple[Event, ...] = field(default=())
