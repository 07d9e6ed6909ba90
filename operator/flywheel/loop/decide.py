"""decide_run(observed, now) -> Plan: the whole of a FlywheelRun's life, as questions asked from top to bottom.

Ended? stopped? suspended? pinned to a revision? Then step by step: start, wait, accept, or give up.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flywheel.api.conditions import (
    COMPLETED,
    FAILED,
    HELD_OUT_EXHAUSTED,
    INCUMBENT_CONTAMINATED,
    LEAKAGE_CHECKED,
    PREFERENCE_LEAKAGE_RISK,
    PROMPTING_SUFFICES,
    QUOTAS_SHORT,
    READY,
    STALLED,
    TEACHER_REFUSALS,
    TEACHER_UNRELIABLE,
    UNDERPOWERED,
    Event,
    Reason,
)
from flywheel.api.curriculum import Attempt
from flywheel.api.flywheelrun import FlywheelRun, FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration
from flywheel.api.pinned import PinnedRevision
from flywheel.api.result import Usage
from flywheel.api.workspace import WorkspaceRef
from flywheel.loop.accept import accept
from flywheel.loop.attempts import Accepted, GaveUp, Outcome, Start, Wait, advance, halt
from flywheel.loop.budget import charged, out_of_budget, seconds_left
from flywheel.loop.contamination import contaminated, incomparable
from flywheel.loop.exits import known_reason
from flywheel.loop.finding import Finding, with_finding
from flywheel.loop.floors import floors_blocked
from flywheel.loop.gate import deserves_test
from flywheel.loop.inputs import TEACHING, build_request
from flywheel.loop.judging import endpoints, judge_charged, nothing_to_judge, wants_judge
from flywheel.loop.label_weight import nothing_beside_label
from flywheel.loop.leakage import leakage_checked
from flywheel.loop.naming import job_name, model_folder
from flywheel.loop.observed import JobView, RunObserved, deletable
from flywheel.loop.openings import held_out_spent
from flywheel.loop.plan import Claims, Plan, StepJob
from flywheel.loop.pod_time import counted, metered, running
from flywheel.loop.preference_leakage import preference_leakage
from flywheel.loop.privacy import refusal
from flywheel.loop.prompting import prompting_suffices
from flywheel.loop.refusals import refusals
from flywheel.loop.retention import expired_through
from flywheel.loop.serving_incumbent import serving_incumbent
from flywheel.loop.shortages import shortages
from flywheel.loop.soundness import FETCH, HISTORY_MAX, ITERATION_STEPS, START_STEPS, damage, next_number
from flywheel.loop.state import State, conditions, holds, news
from flywheel.loop.stopping import stop_after
from flywheel.loop.teacher_error import unreliable
from flywheel.loop.underpowered import underpowered
from flywheel.loop.waiting import starting

RunPlan = Plan[FlywheelRunStatus]
_CONTROL = "a control run, trained on seed items instead of the teacher's examples, nothing of it is promoted"


def decide_run(observed: RunObserved, now: datetime) -> RunPlan:
    """What to do for a run as it is observed; the same input always gives the same plan."""
    run, status = observed.run, observed.run.status
    if run.metadata.deletion_timestamp is not None:
        return Plan(status)
    if ended(status):
        return Plan(_still_ended(status, run.metadata.generation, now), delete=deletable(observed.jobs))
    status = metered(status, observed.jobs, now)
    plan = _decide(replace(observed, run=run.model_copy(update={"status": status})), now)
    seconds = _time_left(run.spec, plan.status, now)
    if seconds is None or ended(plan.status):
        return plan
    return replace(plan, requeue_after=seconds if plan.requeue_after is None else min(seconds, plan.requeue_after))


def _time_left(spec: FlywheelRunSpec, status: FlywheelRunStatus, now: datetime) -> float | None:
    """Until the pod at work has used up the budget; None where none runs, or no limit holds it."""
    pod = status.pod
    if pod is None or pod.counted:
        return None
    seconds = seconds_left(spec, status.usage, pod.step, pod.gpus)
    return None if seconds is None else seconds - running(status, now)


def _decide(observed: RunObserved, now: datetime) -> RunPlan:
    run, status = observed.run, observed.run.status
    if run.spec.stop.now:
        best = f", best is iteration {status.best.iteration}" if status.best else ""
        return _halt(observed, now, State("completed", Reason.STOPPED, f"stopped by spec.stop.now{best}"))
    if run.spec.suspend:
        words = "suspended by spec.suspend: set it to false to go on"
        return _halt(observed, now, State("suspended", Reason.SUSPENDED, words))
    if (refused := refusal(observed)) is not None:
        return _halt(observed, now, refused)
    if (seconds := _time_left(run.spec, status, now)) is not None and seconds <= 0:
        usage, words = counted(status, now).usage, f"it leaves no more time for step {status.step}"
        return _halt(observed, now, out_of_budget(run.spec, usage, words))
    blocked, status = _pin(observed)
    if blocked is None and (fault := damage(status)) is not None:
        words = f"status was changed by hand: {fault}; put it back, or delete this run and create a new one"
        blocked = State("blocked", Reason.STATUS_DAMAGED, words)
    if blocked is None and status.curriculum is not None:
        floors = floors_blocked(observed.run.spec, status)
        blocked = floors or nothing_to_judge(observed) or nothing_beside_label(observed)
    if blocked is not None:
        return _settled(observed, status, blocked, now)
    return _advance_run(observed, status, now)


def ended(status: FlywheelRunStatus) -> bool:
    """Completed or Failed: never cleared, and nothing changes anything afterwards."""
    return holds(status.conditions, COMPLETED) or holds(status.conditions, FAILED)


def _still_ended(status: FlywheelRunStatus, generation: int, now: datetime) -> FlywheelRunStatus:
    """The status with all conditions of its end: somebody may have written others beside it.

    Of the newest spec too: whoever waits for a condition would wait for ever for one of an older generation.
    """
    end = next(entry for entry in status.conditions if entry.type in (COMPLETED, FAILED) and entry.status == "True")
    state = State(
        "completed" if end.type == COMPLETED else "failed", known_reason(end.reason, Reason.STOPPED), end.message
    )
    told = conditions(status.conditions, state, generation, now)
    return status.model_copy(update={"conditions": told, "observed_generation": generation})


def _halt(observed: RunObserved, now: datetime, state: State) -> RunPlan:
    """Delete the running Job; what it was doing counts as no attempt."""
    status = observed.run.status
    if status.step is not None:
        halted = halt(_jobs_of(observed, status), status.attempt or Attempt())
        status = status.model_copy(update={"attempt": halted})
    status = status.model_copy(update={"progress": None})
    return _settled(observed, status, state, now, delete=deletable(observed.jobs))


def _pin(observed: RunObserved) -> tuple[State | None, FlywheelRunStatus]:
    """Pin the run to the Curriculum's revision when it starts; afterwards only its existence matters."""
    run, curriculum, status = observed.run, observed.curriculum, observed.run.status
    name = run.spec.curriculum_ref.name
    if curriculum is None:
        words = f"there is no Curriculum {name} in namespace {run.metadata.namespace}: create it"
        return State("blocked", Reason.CURRICULUM_NOT_FOUND, words), status
    if status.curriculum is not None:
        current = status.current or Iteration(number=next_number(status))
        return None, status.model_copy(update={"current": current})
    if run.spec.student.model.hub is not None and curriculum.spec.workspace.s3 is not None:
        words = f"spec.student.model.hub needs a workspace on a claim, and Curriculum {name} has a bucket: use a claim"
        return State("blocked", Reason.SPEC_INVALID, words), status
    fresh = curriculum.status.prepared_generation == curriculum.metadata.generation
    if fresh and curriculum.status.revision is not None and holds(curriculum.status.conditions, READY):
        pinned = {
            "curriculum": PinnedRevision.of(curriculum.status.revision, curriculum.status.pools),
            "workspace": curriculum.spec.workspace,
            "serving": serving_incumbent(observed.deployment, curriculum.spec.workspace),
            "current": Iteration(number=0),
        }
        return None, status.model_copy(update=pinned)
    if holds(curriculum.status.conditions, STALLED):
        words = f"Curriculum {name} is stalled: see kubectl describe curr {name}; the run goes on once it is Ready"
        return State("blocked", Reason.CURRICULUM_NOT_READY, words), status
    return State("working", Reason.WAITING_FOR_CURRICULUM, f"waiting until Curriculum {name} is Ready"), status


def _jobs_of(observed: RunObserved, status: FlywheelRunStatus) -> list[JobView]:
    step, number = status.step, status.current.number if status.current else 0
    return [job for job in observed.jobs if job.step == step and job.iteration == number]


def _advance_run(observed: RunObserved, status: FlywheelRunStatus, now: datetime) -> RunPlan:
    spec = observed.run.spec
    events: tuple[Event, ...] = ()
    while True:
        step = next_step(observed, status)
        if step is None:
            current = status.current or Iteration(number=0)
            status = _with_held_out(observed, status, current, now)
            if current.number and (end := stop_after(spec, current, status.usage)) is not None:
                delete = deletable(observed.jobs)
                return _settled(observed, _close(status, current), end, now, events, delete=delete)
            status = _close(status, current)
            status = status.model_copy(update={"current": Iteration(number=current.number + 1)})
            continue
        status = _turn_to(status, step)
        outcome = _outcome(observed, status, step, now)
        if isinstance(outcome, Accepted):
            status, told = accept(status, spec, step, outcome)
            generation = observed.run.metadata.generation
            status = with_finding(status, TEACHER_REFUSALS, refusals(status), generation, now)
            status = with_finding(status, TEACHER_UNRELIABLE, unreliable(status), generation, now)
            status = with_finding(status, QUOTAS_SHORT, shortages(status), generation, now)
            events = (*events, *told)
            continue
        own = _jobs_of(observed, status)
        strays = [job for job in observed.jobs if job.active and job not in own]
        if isinstance(outcome, Start) and strays:
            return _clean_up(observed, status, strays, now, events)
        if isinstance(outcome, Start) and (blocked := incomparable(spec, status)) is not None:
            return _settled(observed, status, blocked, now, events)
        return _apply(observed, status, step, outcome, now, events)


def _turn_to(status: FlywheelRunStatus, step: str) -> FlywheelRunStatus:
    """The status with this step at work: book-keeping of another step's attempts is not its own."""
    number = status.current.number if status.current else 0
    if (status.step, status.iteration) == (step, number):
        return status
    return status.model_copy(update={"step": step, "iteration": number, "attempt": None, "progress": None})


def _outcome(observed: RunObserved, status: FlywheelRunStatus, step: str, now: datetime) -> Outcome:
    settings = observed.run.spec.job_settings(step)
    return advance(_jobs_of(observed, status), status.attempt or Attempt(), settings, now, step)


def next_step(observed: RunObserved, status: FlywheelRunStatus) -> str | None:
    """The first step of the iteration at work that has no accepted attempt; None when it is finished."""
    current = status.current or Iteration(number=0)
    done = {entry.name for entry in current.steps}
    hub = observed.run.spec.student.model.hub
    start = START_STEPS if hub is None else (FETCH, *START_STEPS)
    wanted = ITERATION_STEPS if current.number else start
    for step in wanted:
        if step not in done:
            return step
    if current.number and "test" not in done and _wants_test(observed, status, current):
        return "test"
    if "judge" not in done and wants_judge(observed.run.spec, status, current):
        return "judge"
    # Last, when it is known what this iteration leaves to be kept.
    if "cleanup" not in done and expired_through(observed.run.spec, current) is not None:
        return "cleanup"
    return None


def _wants_test(observed: RunObserved, status: FlywheelRunStatus, current: Iteration) -> bool:
    return deserves_test(observed.run.spec, status, current) and not held_out_spent(status, observed.run.spec)


def _close(status: FlywheelRunStatus, current: Iteration) -> FlywheelRunStatus:
    """Put the finished iteration into history; iteration 0 is kept as the baseline instead."""
    if current.number == 0:
        return status
    history = [entry for entry in status.history if entry.number != current.number]
    return status.model_copy(update={"history": [*history, current][-HISTORY_MAX:]})


def _apply(
    observed: RunObserved,
    status: FlywheelRunStatus,
    step: str,
    outcome: Start | Wait | GaveUp,
    now: datetime,
    events: tuple[Event, ...],
) -> RunPlan:
    status = status.model_copy(update={"attempt": outcome.attempt})
    if isinstance(outcome, GaveUp):
        state, spec = outcome.state, observed.run.spec
        if outcome.usage is not None:
            status = _charged(status, spec, step, outcome.usage)
        if state.reason is Reason.BUDGET_EXHAUSTED:
            state = out_of_budget(spec, status.usage, state.message)
        return _settled(observed, status, state, now, events)
    if isinstance(outcome, Wait):
        again = outcome.requeue_after
        return _settled(observed, status, outcome.state, now, events, delete=outcome.delete, requeue_after=again)
    # What was made is still read: it may be the best adapter.
    if outcome.rereads is None and seconds_left(observed.run.spec, status.usage, step, gpus=1) == 0:
        words = f"it leaves no time for step {step}"
        return _settled(observed, status, out_of_budget(observed.run.spec, status.usage, words), now, events)
    job = _step_job(observed, status, step, outcome)
    if status.started_at is None:
        status = status.model_copy(update={"started_at": now})
    number = status.current.number if status.current else 0
    words = f"iteration {number}: {step}, attempt {outcome.attempt.ordinal}, as Job {job.name}"
    started = Event(reason=Reason.STEP_STARTED, message=words)
    return _settled(observed, status, starting(step, job.name), now, (*events, started), create=(job,))


def _charged(status: FlywheelRunStatus, spec: FlywheelRunSpec, step: str, usage: Usage) -> FlywheelRunStatus:
    """The status with what a step was charged that came to nothing."""
    if step == "judge":
        return judge_charged(status, spec, {"judge": usage})
    return status.model_copy(update={"usage": charged(spec, status.usage, usage)})


def _clean_up(
    observed: RunObserved, status: FlywheelRunStatus, strays: list[JobView], now: datetime, events: tuple[Event, ...]
) -> RunPlan:
    """A Job of a step that is no longer wanted, such as a test after gate.maxTestOpenings was lowered."""
    state = State("working", Reason.CLEANING_UP, f"waiting until Job {strays[0].name} of an earlier decision is gone")
    return _settled(observed, status, state, now, events, delete=deletable(strays))


def _step_job(observed: RunObserved, status: FlywheelRunStatus, step: str, start: Start) -> StepJob:
    run, number = observed.run, status.current.number if status.current else 0
    request = build_request(observed, status, step, start.attempt.ordinal, start.rereads)
    if status.workspace is None:
        raise ValueError("the run is not pinned to a workspace")
    hub = run.spec.student.model.hub
    token = hub.token_secret_ref if hub is not None and step == FETCH and start.rereads is None else None
    other = tuple((prefix, model.secret_ref.name) for _, prefix, model in endpoints(run.spec.evaluation))
    return StepJob(
        name=job_name(run.metadata, number, step, start.attempt.ordinal),
        step=step,
        request=request,
        settings=run.spec.job_settings(step if start.rereads is None else "report"),
        claims=_claims(run, status.workspace, step if start.rereads is None else "report"),
        teacher_secret=run.spec.teacher.secret_ref.name if step in TEACHING and start.rereads is None else None,
        other_secrets=other if step == "judge" and start.rereads is None else (),
        rereads=start.rereads,
        hub_secret=token.name if token is not None else None,
    )


def _claims(run: FlywheelRun, workspace: WorkspaceRef, program: str) -> Claims:
    """A step's volumes: the base model is mounted where it is used, from its claim or as it was fetched."""
    model = run.spec.student.model
    if program not in ("answer", "train", "validate", "test"):
        return Claims(workspace)
    if model.hub is not None and workspace.persistent_volume_claim is not None:
        folder = model_folder(run.metadata.namespace, model.hub.repo, model.hub.revision)
        return Claims(workspace, model=workspace.persistent_volume_claim.claim_name, model_folder=folder)
    claim = model.persistent_volume_claim
    return Claims(workspace) if claim is None else Claims(workspace, model=claim.claim_name, model_folder=claim.path)


def _settled(
    observed: RunObserved,
    status: FlywheelRunStatus,
    state: State,
    now: datetime,
    events: tuple[Event, ...] = (),
    *,
    create: tuple[StepJob, ...] = (),
    delete: tuple[str, ...] = (),
    requeue_after: float | None = None,
) -> RunPlan:
    """The plan with the conditions of a state; a change of state that people should hear of is an event."""
    generation, old = observed.run.metadata.generation, observed.run.status.conditions
    status = with_finding(status, UNDERPOWERED, underpowered(observed.run.spec, status), generation, now)
    risk = preference_leakage(observed.run.spec)
    status = with_finding(status, PREFERENCE_LEAKAGE_RISK, risk, generation, now)
    status = with_finding(status, PROMPTING_SUFFICES, prompting_suffices(status), generation, now)
    found = contaminated(observed.run.spec, status)
    status = with_finding(status, INCUMBENT_CONTAMINATED, found, generation, now)
    status = with_finding(status, LEAKAGE_CHECKED, leakage_checked(status), generation, now)
    if observed.run.spec.control and state.kind in ("completed", "failed"):
        state = replace(state, message=f"{_CONTROL}: {state.message}")
    fresh = conditions(status.conditions, state, generation, now)
    update: dict[str, object] = {"conditions": fresh, "observed_generation": generation}
    if state.kind in ("completed", "failed"):
        status = counted(status, now)
        update |= {"ended_at": now, "step": None, "attempt": None if state.kind == "completed" else status.attempt}
    return Plan(status.model_copy(update=update), create, delete, requeue_after, (*events, *news(old, state)))


def _with_held_out(
    observed: RunObserved, status: FlywheelRunStatus, current: Iteration, now: datetime
) -> FlywheelRunStatus:
    """The status with HeldOutExhausted where this iteration deserved a test that may not be made."""
    spec, generation = observed.run.spec, observed.run.metadata.generation
    words = f"the test pool was opened {status.test_openings} times and {status.alpha_spent} of alpha"
    words = f"{words} {spec.gate.alpha} is spent, by all runs that share its items"
    if held_out_spent(status, spec) or current.refused:
        if current.tested or not deserves_test(spec, status, current):
            return status
        words = f"{words}: iteration {current.number} cannot be proven and is not promoted; use fresh held-out data"
        finding = Finding(True, Reason.HELD_OUT_SPENT, words)
    elif any(entry.type == HELD_OUT_EXHAUSTED for entry in status.conditions):
        finding = Finding(False, Reason.HELD_OUT_LEFT, f"{words}: gate.maxTestOpenings allows more")
    else:
        return status
    return with_finding(status, HELD_OUT_EXHAUSTED, finding, generation, now)
