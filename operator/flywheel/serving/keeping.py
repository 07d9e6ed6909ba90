"""What serves is kept serving while nothing is rolled out: on pods that lost it, and on pods that joined. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flywheel.api.adapterdeployment import AdapterDeploymentStatus
from flywheel.api.conditions import STALLED, Reason
from flywheel.loop.state import State, holds
from flywheel.serving.candidates import again
from flywheel.serving.ending import AT_ONCE_SECONDS, serving_state
from flywheel.serving.loading import behind, load, losing
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.rechecking import unasked
from flywheel.serving.rollout import older_jobs, step_job
from flywheel.serving.status import settled, strays

# Pods lose and regain models without any event that would be seen here.
LOOK_AGAIN_SECONDS = 60.0


def keep(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime, at_rest: State | None = None
) -> DeploymentPlan:
    """No rollout: bring back pods that lost the adapter, and drop what a broken rollout left loaded.

    `at_rest`: what is to be said then, where there is more to say than what serves.
    """
    serving = status.serving
    if serving is not None and (calls := behind(observed, serving.digest)):
        later = losing(status, now)
        due = tuple(call for call in calls if call.endpoint.pod not in later)
        return load(observed, status, due, "heal", now) if due else _lost(observed, status, later, now)
    failed = {failure.call for failure in observed.failures}
    left = tuple(call for call in strays(observed, status) if call not in failed)
    status = rested(observed, status)
    if not left and (asking := recheck(observed, status, now, at_rest)) is not None:
        return asking
    requeue = AT_ONCE_SECONDS if left else LOOK_AGAIN_SECONDS
    return settled(observed, status, at_rest or serving_state(status), now, calls=left, requeue_after=requeue)


def _lost(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, later: dict[str, datetime], now: datetime
) -> DeploymentPlan:
    pod = min(later, key=lambda name: later[name])
    words = f"pod {pod} lost the adapter before it had answered the probes: see its log; loaded again at"
    state = State("blocked", Reason.PROCESS_DEAD, f"{words} {later[pod].isoformat()}")
    return settled(observed, status, state, now, requeue_after=(later[pod] - now).total_seconds())


def rested(observed: DeploymentObserved, status: AdapterDeploymentStatus) -> AdapterDeploymentStatus:
    """Nothing is being done any more but asking pods, where some are to be asked."""
    if status.step == "recheck" and unasked(observed, status):
        return status
    return status.model_copy(update={"step": None, "attempt": None})


def recheck(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime, at_rest: State | None
) -> DeploymentPlan | None:
    """The Job that asks pods which have not been asked yet. None where there are none."""
    serving = status.serving
    if serving is None or serving.staged is None or not unasked(observed, status):
        return None
    if status.step != "recheck":
        update = {"rollouts": status.rollouts + 1, "step": "recheck", "attempt": None}
        status = status.model_copy(update=update)
        return settled(observed, status, at_rest or serving_state(status), now, requeue_after=AT_ONCE_SECONDS)
    if (waiting := older_jobs(observed, status, now)) is not None:
        return waiting
    plan = step_job(observed, status, again(serving), "recheck", now)
    # A pod more is no reason to be unready; one that answered otherwise is, until it does not.
    state, attempt = at_rest or serving_state(status), plan.status.attempt
    if attempt is not None and attempt.reason == Reason.VERIFICATION_FAILED:
        state = State("blocked", Reason.VERIFICATION_FAILED, attempt.message or "")
    return quietly(observed, status, plan, state, now)


def quietly(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, plan: DeploymentPlan, state: State, now: datetime
) -> DeploymentPlan:
    """The plan of a step that is no reason to be unready: this state instead of the step's, unless it is stuck."""
    if holds(plan.status.conditions, STALLED):
        return plan
    quiet = plan.status.model_copy(update={"conditions": status.conditions})
    return replace(plan, status=settled(observed, quiet, state, now).status)
