"""The status of an AdapterDeployment: what its pods serve, and what is left over on them. Pure."""

from __future__ import annotations

from datetime import datetime

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, ServingPod
from flywheel.api.conditions import Event, Reason
from flywheel.loop.plan import StepJob
from flywheel.loop.state import State, conditions
from flywheel.serving.calls import Call, UnloadModel
from flywheel.serving.names import candidate_name
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan


def with_pods(
    observed: DeploymentObserved,
    status: AdapterDeploymentStatus,
    now: datetime,
    verified: frozenset[str] = frozenset(),
) -> AdapterDeploymentStatus:
    """status.pods as observed: one entry per ready pod; a pod stays verified while its revision stays."""
    before = {pod.name: pod for pod in status.pods}
    pods: list[ServingPod] = []
    for view in observed.ready_pods[:256]:
        name, revision = view.endpoint.pod, view.revision or ""
        old = before.get(name) or ServingPod(name=name, since=now)
        same = old.revision == revision
        asked = bool(revision) and (name in verified or (same and old.verified))
        lost = bool(old.revision) and not revision and not old.verified
        pods.append(
            ServingPod(
                name=name,
                revision=revision,
                verified=asked,
                losses=0 if asked else old.losses + lost,
                since=old.since if same else now,
            )
        )
    return status.model_copy(update={"pods": pods})


def strays(observed: DeploymentObserved, status: AdapterDeploymentStatus) -> tuple[Call, ...]:
    """Candidates that are loaded and not (or no longer) being rolled out."""
    if observed.deployment.spec.target.triton is None:
        return ()  # retiring.py says what goes, and when
    model = observed.deployment.spec.target.model
    wanted = candidate_name(model, status.rollout.digest) if status.rollout is not None else None
    return tuple(
        UnloadModel(view.endpoint, name)
        for view in observed.ready_pods
        for name in sorted(view.candidates)
        if name != wanted
    )


def settled(
    observed: DeploymentObserved,
    status: AdapterDeploymentStatus,
    state: State,
    now: datetime,
    *,
    create: tuple[StepJob, ...] = (),
    delete: tuple[str, ...] = (),
    calls: tuple[Call, ...] = (),
    requeue_after: float | None = None,
    events: tuple[Event, ...] = (),
) -> DeploymentPlan:
    """A plan with the conditions of its state. A new blockage, or a dead process, is told as an event."""
    generation, old = observed.deployment.metadata.generation, observed.deployment.status.conditions
    told = any(entry.reason == state.reason for entry in old)
    if (state.kind == "blocked" or state.reason == Reason.PROCESS_DEAD) and not told:
        events = (*events, Event(type="Warning", reason=state.reason, message=state.message))
    fresh = conditions(status.conditions, state, generation, now)
    update = {"conditions": fresh, "observed_generation": generation}
    return DeploymentPlan(
        status.model_copy(update=update),
        create=create,
        delete=delete,
        requeue_after=requeue_after,
        events=events,
        calls=calls,
    )
