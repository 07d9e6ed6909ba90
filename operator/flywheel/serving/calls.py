"""What is known of a serving pod, and what a plan may ask of it. Pure types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flywheel.api.adapterdeployment import PodCount
from flywheel.api.conditions import Reason

# Called before every request; raises where nothing may be asked any more.
Guard = Callable[[], None]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of the target Service: a pod, and host:port of its gRPC interface."""

    pod: str
    address: str
    ready: bool = True


@dataclass(frozen=True)
class ServingPodView:
    """What a ready pod says of itself. `revision`: adapter under the stable name, None where nothing is loaded.

    `count`: what it counted of the stable model, where a canary wants to know.
    Of a model that is loaded and whose process is dead it is empty: no adapter answers. `dead`: that is so of the
    stable model. `error`: why it was not to be asked; `reason`: of which kind that is.
    """

    endpoint: Endpoint
    revision: str | None = None
    candidates: Mapping[str, str] = field(default_factory=dict[str, str])
    dead: bool = False
    error: str = ""
    reason: Reason = Reason.TARGET_UNAVAILABLE
    count: PodCount | None = None


@dataclass(frozen=True)
class LoadModel:
    """Have a pod load what the disk holds under a name, and check that it is that adapter and that it answers."""

    endpoint: Endpoint
    model: str
    revision: str


@dataclass(frozen=True)
class UnloadModel:
    """Have a pod drop a model."""

    endpoint: Endpoint
    model: str


Call = LoadModel | UnloadModel


@dataclass(frozen=True)
class CallFailure:
    """A call of the plan before that failed, in our own words. `not_there`: on what the pod reads from."""

    call: Call
    message: str
    not_there: bool = False
