"""Which object NAME or TYPE/NAME means, read into its type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.cli.cluster import Cluster, Object
from flywheel.cli.errors import CommandError
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT, RUN, Resource

Model = TypeVar("Model", bound=BaseModel, covariant=True)


@dataclass(frozen=True)
class Kind(Generic[Model]):
    """One of our kinds: where the API server has it, its type, its short name."""

    resource: Resource
    model: type[Model]
    short: str

    @property
    def names(self) -> set[str]:
        """All that kubectl takes for it."""
        plural, singular = self.resource.plural, self.resource.kind.lower()
        return {self.short, plural, singular, f"{plural}.{self.resource.group}", f"{singular}.{self.resource.group}"}


RUNS = Kind(RUN, FlywheelRun, "fwr")
DEPLOYMENTS = Kind(DEPLOYMENT, AdapterDeployment, "adep")
CURRICULA = Kind(CURRICULUM, Curriculum, "curr")


@dataclass(frozen=True)
class Found(Generic[Model]):
    """An object, in its type and as the API server gave it."""

    resource: Resource
    raw: Object
    item: Model


def read(kind: Kind[Model], raw: Object) -> Model:
    """The object in its type. Raises CommandError where it was written for another version."""
    try:
        return kind.model.model_validate(raw)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        name = f"{kind.resource.kind} {raw['metadata']['name']}"
        raise CommandError(f"error: {name} is not of this version of flywheel: {where}: {fault['msg']}") from error


def read_all(cluster: Cluster, kind: Kind[Model]) -> list[Model]:
    """All of a kind, the oldest first."""
    return [read(kind, raw) for raw in cluster.list(kind.resource)]


def find(cluster: Cluster, named: str, kinds: Sequence[Kind[Model]]) -> Found[Model]:
    """The one object of that name among these kinds; the first kind is the usual one. Raises CommandError."""
    prefix, _, name = named.rpartition("/")
    if prefix:
        asked, kinds = kinds, [kind for kind in kinds if prefix.lower() in kind.names]
        if not kinds:
            raise CommandError(f"error: {prefix}/ is none of {', '.join(kind.short for kind in asked)}")
    there = [(kind, raw) for kind in kinds if (raw := cluster.get(kind.resource, name)) is not None]
    if not there:
        usual = kinds[0].resource
        raise CommandError(f'Error from server (NotFound): {usual.plural}.{usual.group} "{name}" not found')
    if len(there) > 1:
        ways = " or ".join(f"{kind.short}/{name}" for kind, _ in there)
        raise CommandError(f"error: there are several objects named {name}: say {ways}")
    kind, raw = there[0]
    return Found(kind.resource, raw, read(kind, raw))
