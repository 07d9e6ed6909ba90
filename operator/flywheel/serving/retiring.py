"""Which adapters may go from servers where every adapter has a name of its own, and when. Pure.

What served stays for `drain` after the alias has moved on, and as long as it is among the `keep` newest of
status.previous. A folder goes when no pod lists its name any more: vLLM reads files again, and dies without them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from flywheel.api.adapterdeployment import AdapterDeploymentStatus
from flywheel.api.model import duration_seconds
from flywheel.api.target import TritonTarget
from flywheel.serving.calls import UnloadModel
from flywheel.serving.names import alias_of, is_adapter_name
from flywheel.serving.observed import DeploymentObserved


def kept(observed: DeploymentObserved, status: AdapterDeploymentStatus) -> dict[str, str]:
    """Names that are to be at hand, with their digests: what serves, what served before, what is rolled out."""
    spec = observed.deployment.spec
    wanted = [status.serving, status.rollout, *status.previous[: spec.keep]]
    return {alias_of(spec.target, one.digest): one.digest for one in wanted if one is not None}


def drained_at(observed: DeploymentObserved, status: AdapterDeploymentStatus) -> datetime | None:
    """When nobody asks what served before any more; None where nothing has served."""
    server, serving = observed.deployment.spec.target.server, status.serving
    if isinstance(server, TritonTarget) or serving is None or serving.since is None:
        return None
    return serving.since + timedelta(seconds=duration_seconds(server.drain))


def unwanted(observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime) -> tuple[str, ...]:
    """Names to be got rid of now: in the store, or on a vLLM pod. While others drain, only what never served."""
    target = observed.deployment.spec.target
    known = {*status.stored, *(listed(observed, target.model) if target.vllm is not None else ())}
    surplus = known - kept(observed, status).keys()
    end = drained_at(observed, status)
    if end is not None and now < end:
        surplus &= {alias_of(target, one.digest) for one in status.rejected}
    return tuple(sorted(surplus))


def unloads(observed: DeploymentObserved, names: tuple[str, ...]) -> tuple[UnloadModel, ...]:
    """Calls that have every pod drop these names. NIM has no such call: there the folder goes, and then the name."""
    if observed.deployment.spec.target.vllm is None:
        return ()
    return tuple(
        UnloadModel(view.endpoint, name) for view in observed.pods for name in names if name in view.candidates
    )


def removable(observed: DeploymentObserved, names: tuple[str, ...]) -> list[str]:
    """Those whose folders no server reads any more, as far as every single pod has said so."""
    if observed.deployment.spec.target.vllm is None:
        return list(names)
    if any(view.error for view in observed.pods):
        return []
    return [name for name in names if not any(name in view.candidates for view in observed.pods)]


def listed(observed: DeploymentObserved, model: str) -> set[str]:
    """This model's adapters on any pod."""
    return {name for view in observed.pods for name in view.candidates if is_adapter_name(model, name)}
