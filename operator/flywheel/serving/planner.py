"""decide_deployment(observed, now) -> DeploymentPlan: bring the newest candidate into service, and keep it there. Pure.

stage (files on disk) -> load the candidate on every pod -> verify every pod -> commit (the disk names it) ->
load the stable model on every pod -> see on each that it answers -> unload the candidate.
Until the stable model has loaded, the old adapter answers; a candidate that fails never gets that far.
"""

from __future__ import annotations

from datetime import datetime

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, Rollout
from flywheel.api.conditions import STALLED, Event, Reason
from flywheel.loop.attempts import BACKOFF_FIRST
from flywheel.loop.state import State, holds
from flywheel.serving.by_name import keep_by_name, roll_out_by_name, with_revisions
from flywheel.serving.candidates import next_rollout
from flywheel.serving.ending import AT_ONCE_SECONDS, name_of
from flywheel.serving.loading import keep
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.rollout import roll_out
from flywheel.serving.status import settled, with_pods


def decide_deployment(observed: DeploymentObserved, now: datetime) -> DeploymentPlan:
    """What to do for an AdapterDeployment as it is observed."""
    status = observed.deployment.status
    if observed.deployment.metadata.deletion_timestamp is not None:
        return DeploymentPlan(status)
    by_name = observed.deployment.spec.target.triton is None
    observed = with_revisions(observed, status) if by_name else observed
    status = _eager(observed, with_pods(observed, status, now))
    if (fault := _target_fault(observed)) is not None:
        return settled(observed, status, fault, now, requeue_after=BACKOFF_FIRST)
    newer = next_rollout(observed.runs, status) if _may_begin(status) else None
    if newer is not None:
        return _begin(observed, status, newer, now)
    if status.rollout is not None:
        return (roll_out_by_name if by_name else roll_out)(observed, status, status.rollout, now)
    return (keep_by_name if by_name else keep)(observed, status, now)


def _eager(observed: DeploymentObserved, status: AdapterDeploymentStatus) -> AdapterDeploymentStatus:
    """A changed spec may have mended what is waited for."""
    if status.attempt is None or status.observed_generation == observed.deployment.metadata.generation:
        return status
    fresh = status.attempt.model_copy(update={"failures": 0, "waits": 0, "retry_at": None})
    return status.model_copy(update={"attempt": fresh})


def _may_begin(status: AdapterDeploymentStatus) -> bool:
    """A rollout under way is finished first, unless it is stuck and the disk does not name its adapter yet."""
    return status.rollout is None or (not status.rollout.committed and holds(status.conditions, STALLED))


def _begin(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, now: datetime
) -> DeploymentPlan:
    begun = status.model_copy(
        update={"rollout": rollout, "rollouts": status.rollouts + 1, "step": "stage", "attempt": None}
    )
    words = f"candidate {name_of(rollout)} is rolled out"
    return settled(
        observed,
        begun,
        State("working", Reason.PUBLISHING, words),
        now,
        delete=tuple(job.name for job in observed.jobs if job.active and not job.deleting),
        events=(Event(reason=Reason.CANDIDATE, message=words),),
        requeue_after=AT_ONCE_SECONDS,
    )


def _target_fault(observed: DeploymentObserved) -> State | None:
    target = observed.deployment.spec.target
    service, where = target.server.service_ref.name, f"target.{target.kind}"
    if not observed.service_found:
        return State(
            "blocked",
            Reason.TARGET_NOT_FOUND,
            f"there is no Service {service} in this namespace: create it, or correct {where}.serviceRef",
        )
    if not observed.ready_pods:
        return State(
            "blocked",
            Reason.TARGET_UNAVAILABLE,
            f"Service {service} has no ready pod: see kubectl get pods and kubectl get endpointslices",
        )
    silent = [view.endpoint.pod for view in observed.ready_pods if view.error]
    if silent:
        return State(
            "blocked",
            Reason.TARGET_UNAVAILABLE,
            f"pod {silent[0]} does not answer on port {target.server.port}: check {where}.port and the pod's log",
        )
    return None
