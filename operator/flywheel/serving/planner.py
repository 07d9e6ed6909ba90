"""decide_deployment(observed, now) -> DeploymentPlan: bring the newest candidate into service, and keep it there. Pure.

stage (files on disk) -> load the candidate on every pod -> verify every pod -> commit (the disk names it) ->
load the stable model on every pod -> see on each that it answers -> unload the candidate.
Until the stable model has loaded, the old adapter answers; a candidate that fails never gets that far.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, Rollout
from flywheel.api.conditions import Event, Reason
from flywheel.api.curriculum import Attempt
from flywheel.api.result import VerifyFigures
from flywheel.loop.attempts import (
    BACKOFF_FIRST,
    BACKOFF_MOST,
    DEFAULT_ATTEMPTS,
    Accepted,
    GaveUp,
    Start,
    Wait,
    advance,
)
from flywheel.loop.state import State
from flywheel.serving.calls import LoadModel
from flywheel.serving.candidates import next_rollout, revision_of
from flywheel.serving.names import candidate_name, short
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.requests import PROGRAM, RolloutStep, rollout_job
from flywheel.serving.status import settled, strays, with_pods

# Volumes and pods are mended without any event that would be seen here.
LOOK_AGAIN_SECONDS = 60.0
TRY_AGAIN_SECONDS = 300.0
AT_ONCE_SECONDS = 1.0
_DOING: dict[RolloutStep, Reason] = {
    "stage": Reason.PUBLISHING,
    "verify": Reason.VERIFYING,
    "commit": Reason.SWITCHING,
}


def decide_deployment(observed: DeploymentObserved, now: datetime) -> DeploymentPlan:
    """What to do for an AdapterDeployment as it is observed."""
    status = observed.deployment.status
    if observed.deployment.metadata.deletion_timestamp is not None:
        return DeploymentPlan(status)
    status = with_pods(observed, status, now)
    if (fault := _target_fault(observed)) is not None:
        return settled(observed, status, fault, now, requeue_after=BACKOFF_FIRST)
    if status.rollout is not None:
        return _roll_out(observed, status, status.rollout, now)
    if (rollout := next_rollout(observed.runs, status)) is not None:
        begun = status.model_copy(
            update={"rollout": rollout, "rollouts": status.rollouts + 1, "step": "stage", "attempt": None}
        )
        words = f"candidate {_name(rollout)} is rolled out"
        event = Event(reason=Reason.CANDIDATE, message=words)
        state = State("working", Reason.PUBLISHING, words)
        return settled(observed, begun, state, now, events=(event,), requeue_after=AT_ONCE_SECONDS)
    return _keep(observed, status, now)


def _name(rollout: Rollout) -> str:
    return f"{short(rollout.digest)} (run {rollout.run}, iteration {rollout.iteration})"


def _target_fault(observed: DeploymentObserved) -> State | None:
    target = observed.deployment.spec.target.triton
    service = target.service_ref.name
    if not observed.service_found:
        return State(
            "blocked",
            Reason.TARGET_NOT_FOUND,
            f"there is no Service {service} in this namespace: create it, or correct target.triton.serviceRef",
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
            f"pod {silent[0]} does not answer gRPC on port {target.port}: check target.triton.port and the pod's log",
        )
    return None


def _roll_out(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, now: datetime
) -> DeploymentPlan:
    model = observed.deployment.spec.target.triton.model
    candidate = candidate_name(model, rollout.digest)
    if rollout.staged is None:
        return _job(observed, status, rollout, "stage", now)
    if not rollout.committed:
        missing = [view for view in observed.ready_pods if view.candidates.get(candidate) != rollout.digest]
        if missing:
            calls = tuple(LoadModel(view.endpoint, candidate, rollout.digest) for view in missing)
            return _load(observed, status, calls, "load", now)
        return _job(observed, status, rollout, "commit" if rollout.verified else "verify", now)
    behind = [view for view in observed.ready_pods if view.revision != rollout.digest]
    if behind:
        calls = tuple(LoadModel(view.endpoint, model, rollout.digest) for view in behind)
        return _load(observed, status, calls, "switch", now)
    return _serve(observed, status, rollout, now)


def _job(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, step: RolloutStep, now: datetime
) -> DeploymentPlan:
    attempt = status.attempt if status.attempt is not None and status.step == step else Attempt()
    jobs = [job for job in observed.jobs if job.iteration == status.rollouts and job.step == step]
    settings = observed.deployment.spec.jobs.for_step(PROGRAM[step])
    outcome = advance(jobs, attempt, settings, now)
    if isinstance(outcome, Accepted):
        return _accept(observed, status, rollout, step, outcome, now)
    status = status.model_copy(update={"step": step, "attempt": outcome.attempt})
    match outcome:
        case Start():
            job = rollout_job(observed, rollout, step, outcome)
            state = State("working", _DOING[step], f"step {step} for {_name(rollout)}: Job {job.name} was created")
            return settled(observed, status, state, now, create=(job,))
        case Wait():
            return settled(observed, status, outcome.state, now, requeue_after=outcome.requeue_after)
        case GaveUp():
            if outcome.state.reason is Reason.BAD_INPUT:
                return _reject(observed, status, rollout, outcome.state.message, now)
            # The candidate is not to blame: the old one serves on, and this is tried again.
            retry_at = (now + timedelta(seconds=TRY_AGAIN_SECONDS)).isoformat()
            fresh = outcome.attempt.model_copy(
                update={"failures": 0, "disruptions": 0, "waits": 1, "retry_at": retry_at}
            )
            status = status.model_copy(update={"attempt": fresh})
            state = State("blocked", outcome.state.reason, f"{outcome.state.message}; tried again at {retry_at}")
            return settled(observed, status, state, now, requeue_after=TRY_AGAIN_SECONDS)


def _accept(
    observed: DeploymentObserved,
    status: AdapterDeploymentStatus,
    rollout: Rollout,
    step: RolloutStep,
    outcome: Accepted,
    now: datetime,
) -> DeploymentPlan:
    figures = outcome.result.figures
    if step == "stage":
        done = rollout.model_copy(update={"staged": outcome.result.manifest})
    elif step == "commit":
        done = rollout.model_copy(update={"committed": True})
    elif isinstance(figures, VerifyFigures) and figures.passed:
        asked = [view.endpoint.pod for view in observed.ready_pods if view.endpoint.address in figures.agreed]
        done = rollout.model_copy(update={"verified": True, "verified_pods": asked})
    elif isinstance(figures, VerifyFigures):
        worst = min(figures.agreed.values(), default=0)
        words = f"a pod answered {worst} of {figures.probes} probes as measured, which is too few"
        return _reject(observed, status, rollout, words, now)
    else:
        raise ValueError(f"attempt {outcome.number} of {step} has a result that is not its own")
    status = status.model_copy(update={"rollout": done, "attempt": None})
    state = State("working", _DOING[step], f"step {step} for {_name(rollout)} is done")
    return settled(observed, status, state, now, requeue_after=AT_ONCE_SECONDS)


def _load(
    observed: DeploymentObserved,
    status: AdapterDeploymentStatus,
    calls: tuple[LoadModel, ...],
    step: str,
    now: datetime,
) -> DeploymentPlan:
    """Ask pods to load. A candidate that cannot be loaded is rejected; the stable model is tried for ever."""
    attempt = status.attempt if status.attempt is not None and status.step == step else Attempt()
    failed = [failure for failure in observed.failures if failure.call in calls]
    if failed:
        count = attempt.failures + 1
        seconds = min(BACKOFF_FIRST * 2 ** (count - 1), BACKOFF_MOST)
        retry_at = (now + timedelta(seconds=seconds)).isoformat()
        attempt = attempt.model_copy(
            update={"failures": count, "retry_at": retry_at, "message": failed[0].message[:512]}
        )
        if step == "load" and count >= DEFAULT_ATTEMPTS and status.rollout is not None:
            return _reject(observed, status, status.rollout, failed[0].message, now)
    status = status.model_copy(update={"step": step, "attempt": attempt})
    wait = 0.0
    if attempt.retry_at is not None:
        wait = (datetime.fromisoformat(attempt.retry_at) - now).total_seconds()
    if wait > 0:
        words = f"{attempt.message}; tried again at {attempt.retry_at}"
        return settled(observed, status, State("blocked", Reason.TARGET_UNAVAILABLE, words), now, requeue_after=wait)
    names = ", ".join(sorted(call.endpoint.pod for call in calls))
    state = State("working", Reason.LOADING, f"loading {short(calls[0].revision)} as {calls[0].model} on {names}")
    return settled(observed, status, state, now, calls=calls, requeue_after=AT_ONCE_SECONDS)


def _serve(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, now: datetime
) -> DeploymentPlan:
    before = status.serving
    status = status.model_copy(
        update={"serving": revision_of(rollout, now), "rollout": None, "step": None, "attempt": None}
    )
    status = with_pods(observed, status, now, verified=frozenset(rollout.verified_pods))
    was = f", in place of {short(before.digest)}" if before is not None else ""
    event = Event(reason=Reason.SERVING, message=f"{_name(rollout)} serves{was}")
    return settled(
        observed,
        status,
        _serving_state(status),
        now,
        calls=strays(observed, status),
        events=(event,),
        requeue_after=1.0,
    )


def _reject(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, why: str, now: datetime
) -> DeploymentPlan:
    """Never tried again; what serves goes on serving."""
    rejected = [*status.rejected, revision_of(rollout, now)][-10:]
    status = status.model_copy(update={"rejected": rejected, "rollout": None, "step": None, "attempt": None})
    event = Event(type="Warning", reason=Reason.REJECTED, message=f"candidate {_name(rollout)} was rejected: {why}")
    return settled(
        observed,
        status,
        _serving_state(status),
        now,
        calls=strays(observed, status),
        events=(event,),
        requeue_after=AT_ONCE_SECONDS,
    )


def _keep(observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime) -> DeploymentPlan:
    """No rollout: bring back pods that lost the adapter, and drop what a broken rollout left loaded."""
    serving = status.serving
    if serving is not None:
        model = observed.deployment.spec.target.triton.model
        behind = [view for view in observed.ready_pods if view.revision != serving.digest]
        if behind:
            calls = tuple(LoadModel(view.endpoint, model, serving.digest) for view in behind)
            return _load(observed, status, calls, "heal", now)
    status = status.model_copy(update={"step": None, "attempt": None})
    left = tuple(
        call for call in strays(observed, status) if call not in {failure.call for failure in observed.failures}
    )
    requeue = AT_ONCE_SECONDS if left else LOOK_AGAIN_SECONDS
    return settled(observed, status, _serving_state(status), now, calls=left, requeue_after=requeue)


def _serving_state(status: AdapterDeploymentStatus) -> State:
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
