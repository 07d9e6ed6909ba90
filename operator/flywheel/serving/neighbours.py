"""Which of two AdapterDeployments has a stable name: one that both keep up would be changed back and forth. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from flywheel.api.adapterdeployment import AdapterDeployment

_NEVER = datetime.max.replace(tzinfo=UTC)


def elder(deployment: AdapterDeployment, others: Iterable[AdapterDeployment]) -> AdapterDeployment | None:
    """The oldest other one of this namespace that keeps up the same name on the same Service or volume, or None.

    Of the same second the name that sorts first is older. One that is being deleted has no claim any more.
    """
    rivals = [
        other
        for other in others
        if other.metadata.uid != deployment.metadata.uid
        and other.metadata.deletion_timestamp is None
        and _age(other) < _age(deployment)
        and _same_name(deployment, other)
    ]
    return min(rivals, key=_age, default=None)


def _same_name(one: AdapterDeployment, other: AdapterDeployment) -> bool:
    ours, theirs = one.spec.target, other.spec.target
    same_server = ours.server.service_ref == theirs.server.service_ref
    return ours.model == theirs.model and (same_server or ours.repository == theirs.repository)


def _age(deployment: AdapterDeployment) -> tuple[datetime, str]:
    return deployment.metadata.creation_timestamp or _NEVER, deployment.metadata.name
