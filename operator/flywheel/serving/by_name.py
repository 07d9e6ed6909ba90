"""Rollouts where every adapter has a name of its own, loaded beside the old one and never in place: vLLM, NIM. Pure.

stage (a folder in the store) -> every pod lists the name -> verify every pod -> the alias moves, with the status
write -> what is no longer wanted goes once it is drained, from every pod first and then from the store (retiring.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from flywheel.api.adapterdeployment import MOST_STORED, AdapterDeploymentStatus, Rollout
from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Attempt
from flywheel.api.model import duration_seconds
from flywheel.api.target import BASE
from flywheel.loop.state import State
from flywheel.serving.calls import LoadModel, ServingPodView
from flywheel.serving.candidates import again
from flywheel.serving.ending import AT_ONCE_SECONDS, serve, serving_state
from flywheel.serving.keeping import LOOK_AGAIN_SECONDS, quietly, recheck, rested
from flywheel.serving.loading import load
from flywheel.serving.names import alias_of
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.retiring import drained_at, kept, removable, unloads, unwanted
from flywheel.serving.rollout import older_jobs, step_job
from flywheel.serving.status import settled

# NIM looks through its folder every so often: what it has not noticed after three looks it will not notice.
_MOST_REFRESHES = 3


def roll_out_by_name(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, now: datetime
) -> DeploymentPlan:
    """The next step towards the rollout's adapter behind the alias."""
    return _with_alias(observed, _roll_out(observed, status, rollout, now))


def keep_by_name(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime, at_rest: State | None = None
) -> DeploymentPlan:
    """No rollout: bring back what pods lost, and get rid of what is no longer wanted.

    `at_rest`: what is to be said then, where there is more to say than what serves.
    """
    return _with_alias(observed, _keep(observed, status, now, at_rest))


def with_revisions(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, digest: str | None = None
) -> DeploymentObserved:
    """Pods as they answer under the alias of what serves (or of `digest`): with it where they list its name."""
    target, serving = observed.deployment.spec.target, status.serving
    wanted = digest or (serving.digest if serving is not None else None)
    name = alias_of(target, wanted) if wanted is not None else ""
    pods = (replace(view, revision=wanted if view.candidates.get(name) == name else None) for view in observed.pods)
    return replace(observed, pods=tuple(pods))


def _roll_out(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout, now: datetime
) -> DeploymentPlan:
    if (waiting := older_jobs(observed, status, now)) is not None:
        return waiting
    adapter = rollout.digest != BASE
    name = alias_of(observed.deployment.spec.target, rollout.digest)
    if adapter and not rollout.on_server:
        stored = [*(entry for entry in status.stored if entry != name), name][-MOST_STORED:]
        status = status.model_copy(update={"stored": stored, "retiring": []})
        return step_job(observed, status, rollout, "stage", now)
    lacking = _lacking(observed, name)
    if lacking:
        return _bring(observed, status, lacking, rollout.digest, "load", now)
    if adapter and not rollout.verified:
        return step_job(observed, status, rollout, "verify", now)
    if observed.alias_taken:
        return _taken(observed, status, now)
    return serve(with_revisions(observed, status, rollout.digest), status, rollout, now)


def _keep(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime, at_rest: State | None
) -> DeploymentPlan:
    serving = status.serving
    if serving is not None:
        lacking = _lacking(observed, alias_of(observed.deployment.spec.target, serving.digest))
        if lacking:
            return _bring(observed, status, lacking, serving.digest, "heal", now)
    if status.step == "retire":
        return _retire(observed, status, now)
    names = unwanted(observed, status, now)
    failed = {failure.call for failure in observed.failures}
    wanted = (*unloads(observed, names), *_reloads(observed, status))
    calls = tuple(call for call in wanted if call not in failed)
    # A name that only pods knew is remembered for its folder, which has to go after it.
    stored = sorted({*status.stored, *names})[-MOST_STORED:]
    status = rested(observed, status).model_copy(update={"stored": stored})
    if not calls and (gone := removable(observed, names)):
        update = {"retiring": gone[:MOST_STORED], "rollouts": status.rollouts + 1, "step": "retire"}
        status = status.model_copy(update=update)
        return settled(observed, status, serving_state(status), now, requeue_after=AT_ONCE_SECONDS)
    if observed.alias_taken and serving is not None:
        return replace(_taken(observed, status, now), calls=calls)
    if not calls and (asking := recheck(observed, status, now, at_rest)) is not None:
        return asking
    again = AT_ONCE_SECONDS if calls else _look_again(observed, status, now)
    return settled(observed, status, at_rest or serving_state(status), now, calls=calls, requeue_after=again)


def _retire(observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime) -> DeploymentPlan:
    """The Job that removes folders. It belongs to no candidate: one that is known lends its workspace."""
    if (waiting := older_jobs(observed, status, now)) is not None:
        return waiting
    known = status.serving or next(iter([*status.previous, *reversed(status.rejected)]), None)
    if known is None:  # status was changed by hand: nothing says where the Job could leave its record
        status = status.model_copy(update={"retiring": [], "step": None, "attempt": None})
        return settled(observed, status, serving_state(status), now, requeue_after=LOOK_AGAIN_SECONDS)
    plan = step_job(observed, status, again(known), "retire", now)
    return quietly(observed, status, plan, serving_state(plan.status), now)  # tidying up


def _bring(
    observed: DeploymentObserved,
    status: AdapterDeploymentStatus,
    lacking: Sequence[ServingPodView],
    digest: str,
    step: str,
    now: datetime,
) -> DeploymentPlan:
    """Have pods list a name: by a call, or by waiting where a server looks for itself."""
    target = observed.deployment.spec.target
    name, pod = alias_of(target, digest), lacking[0].endpoint.pod
    if digest == BASE:
        words = f"pod {pod} does not list the model {name}: correct target.{target.kind}.baseModel, or the server"
        state = State("blocked", Reason.TARGET_UNAVAILABLE, words)
        return settled(observed, status, state, now, requeue_after=LOOK_AGAIN_SECONDS)
    if target.nim is None:
        return load(observed, status, tuple(LoadModel(view.endpoint, name, digest) for view in lacking), step, now)
    refresh = duration_seconds(target.nim.refresh)
    attempt = status.attempt if status.attempt is not None and status.step == step else Attempt()
    until = attempt.retry_at or now + timedelta(seconds=_MOST_REFRESHES * refresh)
    status = status.model_copy(update={"step": step, "attempt": attempt.model_copy(update={"retry_at": until})})
    if now < until:
        words = f"waiting until {pod} has noticed the folder {name} in its NIM_PEFT_SOURCE"
        again = max(refresh / 10, AT_ONCE_SECONDS)
        return settled(observed, status, State("working", Reason.LOADING, words), now, requeue_after=again)
    words = (
        f"pod {pod} has not noticed the folder {name} in {_MOST_REFRESHES} x {refresh} s (target.nim.refresh): check"
        " its NIM_PEFT_REFRESH_INTERVAL, that NIM_PEFT_SOURCE is the claim target.nim.store, and its log"
    )
    state = State("blocked", Reason.TARGET_UNAVAILABLE, words)
    return settled(observed, status, state, now, requeue_after=LOOK_AGAIN_SECONDS)


def _reloads(observed: DeploymentObserved, status: AdapterDeploymentStatus) -> tuple[LoadModel, ...]:
    """Kept adapters for vLLM pods that lost them. A pod that cannot load one goes on serving, so nothing is said."""
    if observed.deployment.spec.target.vllm is None:
        return ()
    stored = {name: digest for name, digest in kept(observed, status).items() if name in status.stored}
    return tuple(
        LoadModel(view.endpoint, name, digest)
        for view in observed.ready_pods
        for name, digest in stored.items()
        if name not in view.candidates
    )


def _lacking(observed: DeploymentObserved, name: str) -> list[ServingPodView]:
    return [view for view in observed.ready_pods if view.candidates.get(name) != name]


def _taken(observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime) -> DeploymentPlan:
    words = (
        f"there is a ConfigMap {observed.deployment.metadata.name}-alias that is not this AdapterDeployment's: delete"
        " or rename it; clients would read the alias there"
    )
    state = State("blocked", Reason.ALIAS_TAKEN, words)
    return settled(observed, status, state, now, requeue_after=LOOK_AGAIN_SECONDS)


def _look_again(observed: DeploymentObserved, status: AdapterDeploymentStatus, now: datetime) -> float:
    end = drained_at(observed, status)
    left = (end - now).total_seconds() if end is not None else 0.0
    return min(left, LOOK_AGAIN_SECONDS) if left > 0 else LOOK_AGAIN_SECONDS


def _with_alias(observed: DeploymentObserved, plan: DeploymentPlan) -> DeploymentPlan:
    serving = plan.status.serving
    alias = alias_of(observed.deployment.spec.target, serving.digest) if serving is not None else None
    return replace(plan, status=plan.status.model_copy(update={"alias": alias}))
