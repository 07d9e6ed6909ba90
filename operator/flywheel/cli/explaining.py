"""Why an object is where it is and what happens next: spec and status in, sentences out. No cluster, no clock.

Asks the same functions as the decisions do, so that what is said of budget, gate and openings is what is decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from pydantic import Field

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import COMPLETED, FAILED, READY, RECONCILING, STALLED, Condition
from flywheel.api.curriculum import Attempt, Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.jobs import Jobs
from flywheel.api.metadata import Metadata
from flywheel.api.model import Open
from flywheel.api.target import BASE
from flywheel.cli.reasons import meaning
from flywheel.loop.attempts import DEFAULT_ATTEMPTS, MAX_DISRUPTIONS
from flywheel.loop.budget import left, seconds_left
from flywheel.loop.decide import ended
from flywheel.loop.gate import best_untrained, has_incumbent, proven_better
from flywheel.loop.judging import objection
from flywheel.loop.openings import held_out_spent, share_of_alpha
from flywheel.loop.soundness import ITERATION_STEPS
from flywheel.serving.names import short
from flywheel.statistics.measurement import INCUMBENT

_OF_THE_STATE = (READY, RECONCILING, STALLED, COMPLETED, FAILED)


class Said(Open):
    """A condition beside the state, and what it means."""

    type: str
    status: str
    reason: str
    message: str
    why: str
    next: str


class Explanation(Open):
    """What is told of one object."""

    kind: str
    namespace: str
    name: str
    reason: str | None = Field(description="Of the condition Ready; absent before the operator has seen the object.")
    where: list[str] = Field(description="Where it is.")
    why: list[str] = Field(description="Why it is there.")
    next: list[str] = Field(description="What happens next, or is to be done.")
    findings: list[Said] = Field(description="What else the operator has found out.")


def explain(item: FlywheelRun | AdapterDeployment | Curriculum) -> Explanation:
    """Of any of our kinds."""
    if isinstance(item, FlywheelRun):
        return explain_run(item)
    if isinstance(item, AdapterDeployment):
        return explain_deployment(item)
    return explain_curriculum(item)


def explain_run(run: FlywheelRun) -> Explanation:
    """A run: its step and attempts, what ends it, what its gate asks, what its budget leaves."""
    status, coming = run.status, list[str]()
    where = [_of_run(run)]
    why = list(_attempts(status.attempt, run.spec.jobs, status.step or ""))
    if not ended(status):
        coming += [*_ends(run), *_budget(run)]
        if status.step in ITERATION_STEPS and status.iteration:
            after = ITERATION_STEPS[ITERATION_STEPS.index(status.step) + 1 :]
            coming.insert(0, f"Of this iteration come next: {', '.join(after) or 'the gate'}.")
    coming += _gate(run)
    return _explained(run.kind, run.metadata, status.observed_generation, status.conditions, where, why, coming)


def explain_deployment(deployment: AdapterDeployment) -> Explanation:
    """An AdapterDeployment: what serves, what is on its way, what waits for a person."""
    status, spec = deployment.status, deployment.spec
    serves = status.serving
    where = [
        "Nothing serves yet."
        if serves is None
        else f"{short(serves.digest)} of run {serves.run}, iteration {serves.iteration}, serves."
    ]
    if status.rollout is not None:
        step = f" (step {status.step})" if status.step else ""
        where.append(f"{short(status.rollout.digest)} of run {status.rollout.run} is being rolled out{step}.")
    if serves is not None and status.pods:
        there = sum(pod.revision == serves.digest and pod.verified for pod in status.pods)
        where.append(f"{there} of {len(status.pods)} pods have it, verified.")
    coming: list[str] = []
    if status.waiting is not None:
        coming.append(f"spec.approvedDigest: {status.waiting.digest} would let the waiting candidate in.")
    if spec.pin is not None:
        what = "the bare student" if spec.pin == BASE else short(spec.pin)
        coming.append(f"spec.pin holds it at {what}: no candidate is rolled out until it is removed.")
    if status.previous:
        ways = ", ".join(short(entry.digest) for entry in status.previous)
        coming.append(f"spec.pin can go back to {ways}.")
    why = list(_attempts(status.attempt, spec.jobs, status.step or ""))
    why += [f"{short(entry.digest)} of run {entry.run} was rejected." for entry in status.rejected]
    return _explained(
        deployment.kind, deployment.metadata, status.observed_generation, status.conditions, where, why, coming
    )


def explain_curriculum(curriculum: Curriculum) -> Explanation:
    """A Curriculum: its revision, its pools, what was left out."""
    status = curriculum.status
    where = ["No revision is prepared."]
    if status.revision is not None:
        pools = ", ".join(f"{pool.name} {pool.items}" for pool in status.pools)
        where = [f"Revision {status.revision.name} is prepared: {status.items} items ({pools})."]
        if status.prepared_generation != curriculum.metadata.generation:
            where.append("It is of an older spec.")
    why = list(_attempts(status.attempt, curriculum.spec.jobs, "prepare"))
    why += [f"{entry.lines} lines were left out: {entry.reason}." for entry in status.rejected]
    return _explained(
        curriculum.kind, curriculum.metadata, status.observed_generation, status.conditions, where, why, []
    )


def _explained(
    kind: str,
    metadata: Metadata,
    seen: int,
    conditions: Sequence[Condition],
    where: list[str],
    why: list[str],
    coming: list[str],
) -> Explanation:
    ready = next((entry for entry in conditions if entry.type == READY), None)
    if ready is None:
        why.insert(0, "The operator has not looked at it yet.")
        coming.insert(0, "If this stays so: is the operator running, and does it watch this namespace?")
    else:
        known = meaning(ready.reason)
        why[:0] = [known.why, f"{ready.reason}: {ready.message}"]
        coming.insert(0, known.next)
        if seen < metadata.generation:
            coming.insert(0, "spec was changed since; the operator has not acted on that yet.")
    if metadata.deletion_timestamp is not None:
        coming.insert(0, "It is being deleted.")
    return Explanation(
        kind=kind,
        namespace=metadata.namespace,
        name=metadata.name,
        reason=ready.reason if ready is not None else None,
        where=where,
        why=why,
        next=coming,
        findings=[_said(entry) for entry in conditions if entry.type not in _OF_THE_STATE],
    )


def _said(entry: Condition) -> Said:
    known = meaning(entry.reason)
    return Said(
        type=entry.type,
        status=entry.status,
        reason=entry.reason,
        message=entry.message,
        why=known.why,
        next=known.next,
    )


def _of_run(run: FlywheelRun) -> str:
    status, most = run.status, run.spec.stop.max_iterations
    if ended(status):
        when = f" at {status.ended_at.isoformat()}" if status.ended_at is not None else ""
        return f"The run has ended{when}, in iteration {status.iteration} of at most {most}."
    if status.curriculum is None:
        return "The run has not begun."
    step = f", step {status.step}" if status.step else ""
    if not status.iteration:
        return f"Before iteration 1: the untrained student is measured{step}."
    return f"Iteration {status.iteration} of at most {most}{step}."


def _attempts(attempt: Attempt | None, jobs: Jobs, step: str) -> Iterator[str]:
    if attempt is None:
        return
    if attempt.failures:
        most = jobs.for_step(step).attempts or DEFAULT_ATTEMPTS
        yield f"{attempt.failures} of {most} attempts of the step are used up."
    if attempt.disruptions:
        yield f"{attempt.disruptions} pods of the step were lost; at {MAX_DISRUPTIONS} it is given up."
    if attempt.waits:
        yield f"The step asked {attempt.waits} times to be tried later."
    if attempt.message:
        yield f"The last attempt said: {attempt.message}"
    if attempt.retry_at is not None:
        yield f"The next attempt may start at {attempt.retry_at.isoformat()}."


def _ends(run: FlywheelRun) -> Iterator[str]:
    stop, status = run.spec.stop, run.status
    if stop.accuracy is not None:
        now = f"; it is {status.validation.low} now" if status.validation is not None else ""
        yield f"The run ends when the lower bound of validation accuracy reaches {stop.accuracy}{now}."
    if stop.plateau is not None:
        yield (
            f"It ends when the gain over {stop.plateau.patience} iterations is proven to be below"
            f" {stop.plateau.min_delta}{_newest_gain(run)}."
        )
    yield f"It ends after iteration {stop.max_iterations}."


def _newest_gain(run: FlywheelRun) -> str:
    for entry in reversed(run.status.history):
        for gain in entry.gains:
            if gain.versus == "patience":
                return f"; after iteration {entry.number} it was {gain.low} to {gain.high}"
    return ""


def _budget(run: FlywheelRun) -> Iterator[str]:
    spec, usage = run.spec, run.status.usage
    step = run.status.step or "exam"
    allowance, seconds = left(spec, usage, step), seconds_left(spec, usage, step, gpus=1)
    if allowance is None:
        return
    parts: list[str] = []
    if allowance.tokens is not None:
        parts.append(f"{allowance.tokens} tokens")
    if allowance.cost is not None:
        currency = spec.teacher.prices.currency if spec.teacher.prices is not None else ""
        parts.append(f"{allowance.cost:.2f} {currency}".rstrip())
    if seconds is not None:
        parts.append(f"{seconds:.0f} s of a pod")
    yield f"The budget leaves {', '.join(parts)} for step {step}; spent, the run ends well with its best adapter."


def _gate(run: FlywheelRun) -> Iterator[str]:
    spec, status = run.spec, run.status
    if spec.control:
        yield "It is a control: nothing of it is promoted."
        return
    if status.candidate is not None:
        found = (
            f"The adapter of iteration {status.candidate.iteration} ({short(status.candidate.digest)}) is the candidate"
        )
        ref = spec.deployment_ref
        yield f"{found}; AdapterDeployment {ref.name} takes it." if ref else f"{found}; no deploymentRef takes it."
    elif (untrained := best_untrained(status.baseline)) is not None:
        yield (
            f"No candidate yet: one must be proven better than the untrained student's best arm, {untrained.name}"
            f" ({untrained.accuracy}, {untrained.low} to {untrained.high})."
        )
    if status.test is not None and not status.test.passed and status.step != "judge":
        yield f"The adapter of iteration {status.test.iteration} was tested and did not pass: {_missed(run)}."
    openings = f"The test pool was opened {status.test_openings} of {spec.gate.max_test_openings} times"
    if held_out_spent(status, spec):
        yield f"{openings} and {status.alpha_spent} of alpha {spec.gate.alpha} is spent: no adapter can be promoted."
    elif not ended(status):
        yield f"{openings}; each opening is judged at {share_of_alpha(spec)}."


def _missed(run: FlywheelRun) -> str:
    """Which demands of the gate the last test does not show to be met."""
    test, missed = run.status.test, list[str]()
    if test is None:
        return ""
    versus = [arm.name for arm in [best_untrained(test.arms)] if arm is not None]
    if has_incumbent(run.spec.gate, run.status):
        versus.append(INCUMBENT)
    bounds = {gain.versus: gain for gain in test.gains}
    for name in versus:
        if not proven_better(test.gains, name):
            found = bounds.get(name)
            interval = f" (difference {found.low} to {found.high})" if found is not None else ""
            missed.append(f"not proven better than {name}{interval}")
    first = bounds.get("first")
    if first is not None and Decimal(first.low) <= -run.spec.gate.first_margin:
        missed.append(f"perhaps more than {run.spec.gate.first_margin} below the first promoted adapter")
    missed += [
        f"recall of {floor.label} may fall by more than {floor.margin}" for floor in test.floors if not floor.held
    ]
    return ", ".join(missed) or objection(run.spec, test.preferences) or "see the event CandidateRejected"
