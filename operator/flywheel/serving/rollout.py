"""One rollout, step by step (planner.py names them). Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, Rollout
from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Attempt
from flywheel.api.model import decimal_text
from flywheel.api.result import PublishFigures, VerifyFigures
from flywheel.loop.accept import UnexpectedResultError
from flywheel.loop.attempts import Accepted, GaveUp, Start, Wait, advance
from flywheel.loop.state import State
from flywheel.serving.calls import LoadModel, ServingPodView
from flywheel.serving.canary import begun, canary_of, first_pods, pause_ends, worse
from flywheel.serving.ending import AT_ONCE_SECONDS, name_of, reject, serve, serving_state
from flywheel.serving.loading import load
from flywheel.serving.names import candidate_name
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.rechecking import asked_again
from flywheel.serving.requests import PROGRAM, RolloutStep, rollout_job
from flywheel.serving.status import settled, strays

# Volumes are mended without any event that would be seen here.
TRY_AGAIN_SECONDS = 300.0
CANARY_LOOK_SECONDS = 15.0
_DOING: dict[RolloutStep, Reason] = {
    "stage": Reason.PUBLISHING,
    "verify": Reason.VERIFYING,
    "commit": Reason.SWITCHING,
    "retire": Reason.CLEANING_UP,
    "recheck": Reason.VERIFYING,
}


def roll_out(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, now: datetime
) -> DeploymentPlan:
    """The next step towards serving the rollout's adapter."""
    if (waiting := older_jobs(observed, status, now)) is not None:
        return waiting
    if not rollout.on_server:
        return step_job(observed, status, rollout, "stage", now)
    if not rollout.verified:
        candidate = candidate_name(observed.deployment.spec.target.model, rollout.digest)
        missing = [view for view in observed.ready_pods if view.candidates.get(candidate) != rollout.digest]
        if missing:
            calls = tuple(LoadModel(view.endpoint, candidate, rollout.digest) for view in missing)
            return load(observed, status, calls, "load", now)
        return step_job(observed, status, rollout, "verify", now)
    if not rollout.committed:
        return step_job(observed, status, rollout, "commit", now)
    if (unloading := _make_room(observed, status, now)) is not None:
        return unloading
    behind = [view for view in observed.ready_pods if view.revision != rollout.digest]
    return _switch(observed, status, rollout, behind, now) if behind else serve(observed, status, rollout, now)


def _make_room(observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime) -> DeploymentPlan | None:
    """Each engine of vLLM takes its share of the GPU: the candidate's goes before the stable model's next one comes."""
    triton, failed = observed.deployment.spec.target.triton, {failure.call for failure in observed.failures}
    if triton is None or triton.backend != "Vllm":
        return None
    calls = tuple(call for call in strays(observed, status.model_copy(update={"rollout": None})) if call not in failed)
    if not calls:
        return None
    state = State(
        "working", Reason.SWITCHING, "unloading the candidate, which makes room for the stable model's engine"
    )
    return settled(observed, status, state, now, calls=calls, requeue_after=AT_ONCE_SECONDS)


def older_jobs(observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime) -> DeploymentPlan | None:
    """Wait for the Jobs of the last candidate: two at once could undo each other's work. None where they are gone."""
    if not any(job.active and job.iteration < status.rollouts for job in observed.jobs):
        return None
    words = "waiting until the Jobs of the last candidate are gone"
    return settled(observed, status, State("working", Reason.CLEANING_UP, words), now)


def _switch(
    observed: DeploymentObserved,
    status: AdapterDeploymentStatus,
    rollout: Rollout,
    behind: list[ServingPodView],
    now: datetime,
) -> DeploymentPlan:
    """The stable name answers with the new adapter: on the canary's pods first, then on all."""
    model, canary = observed.deployment.spec.target.model, canary_of(observed, status, rollout)
    if canary is not None:
        if first := first_pods(canary, observed.ready_pods, behind):
            calls = tuple(LoadModel(view.endpoint, model, rollout.digest) for view in first)
            return load(observed, status, calls, "canary", now)
        record = rollout.canary or begun(observed.ready_pods, now)
        moved = [view for view in observed.ready_pods if view not in behind]
        if (why := worse(record, moved, behind)) is not None:
            return reject(observed, status, rollout, why, now)
        over = pause_ends(canary, record)
        if (left := (over - now).total_seconds()) > 0:
            names = ", ".join(view.endpoint.pod for view in moved)
            words = f"{name_of(rollout)} serves on {names}; the others follow at {over.isoformat()}"
            status = status.model_copy(
                update={"rollout": rollout.model_copy(update={"canary": record}), "step": "canary"}
            )
            state = State("working", Reason.CANARY, words)
            return settled(observed, status, state, now, requeue_after=min(left, CANARY_LOOK_SECONDS))
    calls = tuple(LoadModel(view.endpoint, model, rollout.digest) for view in behind)
    return load(observed, status, calls, "switch", now)


def step_job(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, step: RolloutStep, now: datetime
) -> DeploymentPlan:
    """One step of a rollout as a Job, through all its attempts."""
    attempt = status.attempt if status.attempt is not None and status.step == step else Attempt()
    jobs = [job for job in observed.jobs if job.iteration == status.rollouts and job.step == step]
    settings = observed.deployment.spec.jobs.for_step(PROGRAM[step])
    outcome = advance(jobs, attempt, settings, now, PROGRAM[step])
    if isinstance(outcome, Accepted):
        return _accept(observed, status, rollout, step, outcome, now)
    status = status.model_copy(update={"step": step, "attempt": outcome.attempt})
    match outcome:
        case Start():
            job = rollout_job(observed, rollout, step, outcome)
            state = State("working", _DOING[step], f"step {step} for {name_of(rollout)}: Job {job.name} was created")
            return settled(observed, status, state, now, create=(job,))
        case Wait():
            again = outcome.requeue_after
            return settled(observed, status, outcome.state, now, delete=outcome.delete, requeue_after=again)
        case GaveUp():
            # Too few probes is for the spec to mend; all else that verify finds is in its figures.
            if outcome.bad_input and PROGRAM[step] != "verify" and step != "retire":
                return reject(observed, status, rollout, outcome.state.message, now)
            # The candidate is not to blame: the old one serves on, and this is tried again.
            retry_at = now + timedelta(seconds=TRY_AGAIN_SECONDS)
            fresh = outcome.attempt.model_copy(
                update={"failures": 0, "disruptions": 0, "waits": 1, "retry_at": retry_at}
            )
            status = status.model_copy(update={"attempt": fresh})
            words = f"{outcome.state.message}; tried again at {retry_at.isoformat()}"
            state = State("blocked", outcome.state.reason, words)
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
    if isinstance(figures, PublishFigures) and figures.phase == step == "retire":
        left = [name for name in status.stored if name not in status.retiring]
        status = status.model_copy(update={"stored": left, "retiring": [], "step": None, "attempt": None})
        return settled(observed, status, serving_state(status), now, requeue_after=AT_ONCE_SECONDS)
    if isinstance(figures, VerifyFigures) and step == "recheck":
        return asked_again(observed, status, figures, now)
    if isinstance(figures, PublishFigures) and (figures.phase, figures.adapter) == (step, rollout.adapter):
        if step == "stage":
            what: dict[str, object] = {"staged": outcome.result.manifest, "on_server": True}
        else:
            what, status = {"committed": True}, status.model_copy(update={"on_disk": rollout.digest})
        done = rollout.model_copy(update=what)
    elif isinstance(figures, VerifyFigures) and figures.passed:
        asked = [view.endpoint.pod for view in observed.ready_pods if view.endpoint.address in figures.agreed]
        done = rollout.model_copy(update={"verified": True, "verified_pods": asked})
    elif isinstance(figures, VerifyFigures):
        return reject(observed, status, rollout, _why_not(figures), now)
    else:
        raise UnexpectedResultError(f"attempt {outcome.number} of {step} has a result that is not its own")
    status = status.model_copy(update={"rollout": done, "attempt": None})
    state = State("working", _DOING[step], f"step {step} for {name_of(rollout)} is done")
    return settled(observed, status, state, now, requeue_after=AT_ONCE_SECONDS)


def _why_not(figures: VerifyFigures) -> str:
    if (found := figures.as_served) is not None:
        interval = f"{decimal_text(found.difference)} ({decimal_text(found.low)} to {decimal_text(found.high)})"
        return f"as served minus as measured, its accuracy is {interval}: below verification.asServed.margin"
    worst = min(figures.agreed.values(), default=0)
    return f"a pod answered {worst} of {figures.probes} probes as measured, which is too few"
