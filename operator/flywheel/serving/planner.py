"""decide_deployment(observed, now) -> DeploymentPlan: bring the newest candidate into service, and keep it there. Pure.

stage (files on disk) -> load the candidate on every pod -> verify every pod -> commit (the disk names it) ->
load the stable model on the canary's pods, watch them, then on every pod -> unload the candidate.
Until the stable model has loaded, the old adapter answers; a candidate that fails never gets that far.
"""

from __future__ import annotations

from datetime import datetime

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, Rollout
from flywheel.api.conditions import STALLED, Event, Reason
from flywheel.loop.attempts import BACKOFF_FIRST
from flywheel.loop.state import State, holds
from flywheel.serving.by_name import keep_by_name, roll_out_by_name, with_revisions
from flywheel.serving.candidates import PinError, again, newest, pinned, revision_of, unapproved
from flywheel.serving.ending import AT_ONCE_SECONDS, name_of, serving_state
from flywheel.serving.keeping import keep
from flywheel.serving.loading import heal_first
from flywheel.serving.neighbours import elder
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
    if status.rollout is not None and _withdrawn(observed, status.rollout):
        return _abort(observed, status, status.rollout, now)
    at_rest = None
    try:
        newer = _wanted(observed, status)
    except PinError as error:
        newer, at_rest = None, State("blocked", Reason.PIN_UNKNOWN, str(error))
    if newer is not None and not unapproved(observed.deployment.spec, newer):
        return _begin(observed, status, newer, now)
    status = _with_waiting(status, newer, now)
    if by_name and status.rollout is not None:
        return roll_out_by_name(observed, status, status.rollout, now)
    if by_name:
        return keep_by_name(observed, status, now, at_rest)
    if status.rollout is not None:
        return heal_first(observed, status, now) or roll_out(observed, status, status.rollout, now)
    if (back := _back(status)) is not None:
        return _begin(observed, status, back, now)
    return keep(observed, status, now, at_rest)


def _wanted(observed: DeploymentObserved, status: AdapterDeploymentStatus) -> Rollout | None:
    pin = observed.deployment.spec.pin
    if pin is not None:
        return pinned(pin, observed.runs, status)
    return newest(observed.runs, status) if _may_begin(status) else None


def _withdrawn(observed: DeploymentObserved, rollout: Rollout) -> bool:
    """Approval was taken back while there is a way back: the stable name moved nowhere, or to a canary only."""
    status = observed.deployment.status
    way_back = status.serving is not None if status.step == "commit" else not rollout.committed or rollout.canary
    return unapproved(observed.deployment.spec, rollout) and bool(way_back)


def _abort(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, now: datetime
) -> DeploymentPlan:
    words = f"candidate {name_of(rollout)} is no longer approved: its rollout was stopped"
    if status.step == "commit":  # its Job may have changed the disk already
        status = status.model_copy(update={"on_disk": rollout.digest})
    status = status.model_copy(update={"rollout": None, "step": None, "attempt": None})
    return settled(
        observed,
        status,
        serving_state(status),
        now,
        delete=_at_work(observed),
        events=(Event(reason=Reason.ABORTED, message=words),),
        requeue_after=AT_ONCE_SECONDS,
    )


def _with_waiting(status: AdapterDeploymentStatus, newer: Rollout | None, now: datetime) -> AdapterDeploymentStatus:
    waiting = status.waiting
    if newer is None or waiting is None or newer.digest != waiting.digest:
        waiting = revision_of(newer, now) if newer is not None else None
    return status.model_copy(update={"waiting": waiting})


def _back(status: AdapterDeploymentStatus) -> Rollout | None:
    """A canary was stopped, and the disk still names it: what serves on the other pods was verified there."""
    if status.serving is None or status.on_disk in (None, status.serving.digest):
        return None
    return again(status.serving).model_copy(update={"on_server": True, "verified": True})


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
        update={"rollout": rollout, "rollouts": status.rollouts + 1, "waiting": None, "step": None, "attempt": None}
    )
    words = f"{name_of(rollout)} is rolled out"
    return settled(
        observed,
        begun,
        State("working", Reason.PUBLISHING, words),
        now,
        delete=_at_work(observed),
        events=(Event(reason=Reason.CANDIDATE, message=words),),
        requeue_after=AT_ONCE_SECONDS,
    )


def _at_work(observed: DeploymentObserved) -> tuple[str, ...]:
    return tuple(job.name for job in observed.jobs if job.active and not job.deleting)


def _target_fault(observed: DeploymentObserved) -> State | None:
    target = observed.deployment.spec.target
    service, where = target.server.service_ref.name, f"target.{target.kind}"
    if (older := elder(observed.deployment, observed.others)) is not None:
        name = older.metadata.name
        return State(
            "blocked",
            Reason.MODEL_TAKEN,
            f"AdapterDeployment {name}, which is older, has the model name {target.model} on the same Service or"
            f" volume: delete this one and create it with another {where}.model, or delete {name}",
        )
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
    silent = [view for view in observed.ready_pods if view.error]
    if silent and silent[0].reason is not Reason.TARGET_UNAVAILABLE:
        return State("blocked", silent[0].reason, silent[0].error)
    if silent:
        return State(
            "blocked",
            Reason.TARGET_UNAVAILABLE,
            f"pod {silent[0].endpoint.pod} does not answer on port {target.server.port}: check {where}.port, whether it"
            f" wants TLS ({where}.tls), and its log",
        )
    return None
