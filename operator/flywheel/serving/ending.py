"""How a rollout ends: it serves, or it is rejected and what served goes on serving. Pure."""

from __future__ import annotations

from datetime import datetime

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, Rollout
from flywheel.api.conditions import Event, Reason
from flywheel.loop.state import State
from flywheel.serving.candidates import revision_of
from flywheel.serving.names import short
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.status import settled, strays, with_pods

AT_ONCE_SECONDS = 1.0
_MOST_REJECTED = 10
_MOST_PREVIOUS = 10


def name_of(rollout: Rollout) -> str:
    """A candidate as people read it."""
    return f"{short(rollout.digest)} (run {rollout.run}, iteration {rollout.iteration})"


def serve(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, now: datetime
) -> DeploymentPlan:
    """The adapter answers under the stable name on every pod."""
    before = status.serving
    status = status.model_copy(
        update={"serving": revision_of(rollout, now), "rollout": None, "step": None, "attempt": None}
    )
    if before is not None:
        kept = [entry for entry in status.previous if entry.digest not in (before.digest, rollout.digest)]
        status = status.model_copy(update={"previous": [before, *kept][:_MOST_PREVIOUS]})
    status = with_pods(observed, status, now, verified=frozenset(rollout.verified_pods))
    was = f", in place of {short(before.digest)}" if before is not None else ""
    event = Event(reason=Reason.SERVING, message=f"{name_of(rollout)} serves{was}")
    return settled(
        observed,
        status,
        serving_state(status),
        now,
        calls=strays(observed, status),
        events=(event,),
        requeue_after=1.0,
    )


def reject(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, why: str, now: datetime
) -> DeploymentPlan:
    """Never tried again; what serves goes on serving."""
    rejected = [*status.rejected, revision_of(rollout, now)][-_MOST_REJECTED:]
    status = status.model_copy(update={"rejected": rejected, "rollout": None, "step": None, "attempt": None})
    event = Event(type="Warning", reason=Reason.REJECTED, message=f"candidate {name_of(rollout)} was rejected: {why}")
    return settled(
        observed,
        status,
        serving_state(status),
        now,
        calls=strays(observed, status),
        events=(event,),
        requeue_after=AT_ONCE_SECONDS,
    )


def serving_state(status: AdapterDeploymentStatus) -> State:
    """The state at rest."""
    serving, rejected = status.serving, status.rejected
    if serving is None and not rejected:
        words = "waits for a candidate from a FlywheelRun whose deploymentRef names this AdapterDeployment"
        return State("working", Reason.NO_CANDIDATE, words)
    if serving is None:
        words = f"candidate {short(rejected[-1].digest)} was rejected and nothing serves yet: see kubectl describe"
        return State("blocked", Reason.VERIFICATION_FAILED, words)
    words = f"{short(serving.digest)} (run {serving.run}, iteration {serving.iteration}) serves"
    if rejected and rejected[-1].since is not None and serving.since is not None and rejected[-1].since > serving.since:
        words += f"; the newer candidate {short(rejected[-1].digest)} was rejected: see kubectl describe"
    return State("ready", Reason.SERVING, words)
