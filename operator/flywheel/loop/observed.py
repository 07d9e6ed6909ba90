"""What decisions see: resources and their Jobs, reduced to what matters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun

JobState = Literal["Pending", "Running", "Succeeded", "Failed"]


@dataclass(frozen=True)
class PodView:
    """The newest pod of a Job; texts are the kubelet's and scheduler's, exit code and message of container `step`."""

    name: str
    uid: str
    started: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    gpus: int = 0
    exit_code: int | None = None
    message: str = ""
    terminated_reason: str = ""
    deadline_exceeded: bool = False
    disrupted: bool = False
    waiting_reason: str = ""
    waiting_message: str = ""
    waiting_sidecar: bool = False  # it is the workspace's sidecar that waits
    unschedulable: str = ""


@dataclass(frozen=True)
class JobView:
    """One Job of a resource: one attempt of one step. `outdated`: it was made from an older spec.

    A queue may stop a Job and let it go on: it is suspended, and then has other pods. `queue`: what its label names.
    """

    name: str
    uid: str
    step: str
    iteration: int
    attempt: int
    created_at: datetime
    state: JobState = "Pending"
    deleting: bool = False
    rereads: int | None = None  # a report Job: the attempt whose result it reads again
    outdated: bool = False
    pod: PodView | None = None
    queue: str = ""
    suspended_since: datetime | None = None
    resumed_at: datetime | None = None
    settings: str = ""  # digest of those that it was made from

    @property
    def active(self) -> bool:
        """Whether its pod, or one that is still to come, may be doing something."""
        return self.deleting or self.suspended_since is not None or self.state in ("Pending", "Running")

    @property
    def stopped(self) -> bool:
        """Whether its newest pod was stopped with it: the next is still to come."""
        queued = self.suspended_since is not None or self.resumed_at is not None
        return queued and self.state == "Pending" and self.pod is not None and self.pod.started

    @property
    def waits(self) -> bool:
        """Whether it is suspended and no pod of it is at work."""
        return self.suspended_since is not None and self.state == "Pending"


def deletable(jobs: Iterable[JobView]) -> tuple[str, ...]:
    """Names of the Jobs that are at work and not yet being deleted."""
    return tuple(job.name for job in jobs if job.active and not job.deleting)


@dataclass(frozen=True)
class CurriculumObserved:
    """Input of the Curriculum's decision. `template` is the text of prompts/task.j2."""

    curriculum: Curriculum
    template: str
    jobs: tuple[JobView, ...] = ()


@dataclass(frozen=True)
class RunObserved:
    """Input of the run's decision. `model_path` is where a step finds the base model."""

    run: FlywheelRun
    curriculum: Curriculum | None
    jobs: tuple[JobView, ...] = ()
    model_path: str = "/model"
    deployment: AdapterDeployment | None = field(default=None, kw_only=True)  # looked at when the run starts
    shuffle_labels: bool = field(default=False, kw_only=True)  # control experiment: must fall to chance
    unguarded: bool = field(default=False, kw_only=True)  # experiment: what the guards against the teacher are worth
