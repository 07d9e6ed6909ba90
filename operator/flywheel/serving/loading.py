"""Having pods load what the disk holds: for a rollout, and for pods that lost the adapter. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from flywheel.api.adapterdeployment import AdapterDeploymentStatus
from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Attempt
from flywheel.loop.attempts import DEFAULT_ATTEMPTS, backoff, seconds_until
from flywheel.loop.state import State
from flywheel.serving.calls import CallFailure, LoadModel
from flywheel.serving.ending import AT_ONCE_SECONDS, reject
from flywheel.serving.names import short
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.status import settled

# A pod looks into the bucket every 5 seconds. What it has not pulled after 5 minutes is said to be wrong.
_PULL_FIRST, _PULL_MOST = 5.0, 60.0
_MOST_PULLS = 8


def load(
    observed: DeploymentObserved,
    status: AdapterDeploymentStatus,
    calls: tuple[LoadModel, ...],
    step: str,
    now: datetime,
) -> DeploymentPlan:
    """Ask pods to load. A candidate that cannot be loaded is rejected; the stable model is tried for ever.

    What a pod has not pulled from the bucket yet is waited for, and no adapter is to blame.
    """
    attempt = status.attempt if status.attempt is not None and status.step == step else Attempt()
    failed = [failure for failure in observed.failures if failure.call in calls]
    broken = [failure for failure in failed if not (failure.not_there and _in_bucket(observed))]
    if failed and not broken:
        attempt = _not_pulled(attempt, failed[0], now)
    elif broken:
        count = attempt.failures + 1
        retry_at = now + timedelta(seconds=backoff(count))
        attempt = attempt.model_copy(
            update={"failures": count, "waits": 0, "retry_at": retry_at, "message": broken[0].message[:512]}
        )
        if step in ("load", "canary") and count >= DEFAULT_ATTEMPTS and status.rollout is not None:
            return reject(observed, status, status.rollout, broken[0].message, now)
    status = status.model_copy(update={"step": step, "attempt": attempt})
    wait = seconds_until(attempt.retry_at, now)
    if attempt.retry_at is not None and wait > 0:
        words = f"{attempt.message}; tried again at {attempt.retry_at.isoformat()}"
        state = State("blocked", Reason.TARGET_UNAVAILABLE, words)
        if 0 < attempt.waits <= _MOST_PULLS:
            state = State("working", Reason.LOADING, words)
        return settled(observed, status, state, now, requeue_after=wait)
    return settled(observed, status, _loading(observed, calls), now, calls=calls, requeue_after=AT_ONCE_SECONDS)


def _in_bucket(observed: DeploymentObserved) -> bool:
    return observed.deployment.spec.target.repository.s3 is not None


def _not_pulled(attempt: Attempt, failure: CallFailure, now: datetime) -> Attempt:
    waits, call = attempt.waits + 1, failure.call
    what = f"{call.model} with {short(call.revision)}" if isinstance(call, LoadModel) else call.model
    words = f"pod {call.endpoint.pod} has not pulled {what} from the bucket yet"
    if waits > _MOST_PULLS:
        words += f", asked {waits} times: see the log of its container that pulls"
    retry_at = now + timedelta(seconds=backoff(waits, _PULL_FIRST, _PULL_MOST))
    return attempt.model_copy(update={"waits": waits, "retry_at": retry_at, "message": words[:512]})


def _loading(observed: DeploymentObserved, calls: tuple[LoadModel, ...]) -> State:
    """What is being loaded, and whether clients are failed meanwhile."""
    dead = {view.endpoint for view in observed.ready_pods if view.dead}
    failing = sorted(call.endpoint.pod for call in calls if call.endpoint in dead)
    if failing:
        words = f"the process of the model is dead on {', '.join(failing)}, which fails requests; it is started anew"
        return State("working", Reason.PROCESS_DEAD, words)
    names = ", ".join(sorted(call.endpoint.pod for call in calls))
    return State("working", Reason.LOADING, f"loading {short(calls[0].revision)} as {calls[0].model} on {names}")


def behind(observed: DeploymentObserved, revision: str) -> tuple[LoadModel, ...]:
    """For every pod on which that adapter does not answer under the stable name."""
    model = observed.deployment.spec.target.model
    return tuple(LoadModel(view.endpoint, model, revision) for view in observed.ready_pods if view.revision != revision)


def losing(status: AdapterDeploymentStatus, now: datetime) -> dict[str, datetime]:
    """Pods that lost it before they were verified, and when each may load it again: ever later, as in a crash loop."""
    found: dict[str, datetime] = {}
    for pod in status.pods:
        if pod.losses and not pod.revision and pod.since is not None:
            due = pod.since + timedelta(seconds=backoff(pod.losses))
            if seconds_until(due, now) > 0:
                found[pod.name] = due
    return found


def heal_first(observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime) -> DeploymentPlan | None:
    """During a rollout: pods that lost the adapter in service. None where there are none, or the disk names the next.

    The rollout's own step and attempt stay as they are; what failed is not asked for twice in a row.
    """
    committing = status.step == "commit" or any(
        job.step == "commit" and job.iteration == status.rollouts for job in observed.jobs
    )
    if status.serving is None or committing or status.on_disk not in (None, status.serving.digest):
        return None
    failed, later = {failure.call for failure in observed.failures}, losing(status, now)
    lost = behind(observed, status.serving.digest)
    calls = tuple(call for call in lost if call not in failed and call.endpoint.pod not in later)
    if not calls:
        return None
    return settled(observed, status, _loading(observed, calls), now, calls=calls, requeue_after=AT_ONCE_SECONDS)
