"""What must hold for every plan and every status, whatever happened before (DESIGN 4, 5 and 10)."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from jsonschema import Draft4Validator

from flywheel.api.conditions import HELD_OUT_EXHAUSTED
from flywheel.api.crd import all_crds
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.request import MeasureParameters, StepRequest
from flywheel.loop.decide import RunPlan, decide_run, ended
from flywheel.loop.gate import best_untrained, proven_better
from flywheel.loop.observed import RunObserved
from flywheel.loop.plan import StepJob
from flywheel.loop.soundness import damage

if TYPE_CHECKING:
    from simulation import World

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MAX_STATUS_BYTES = 256 * 1024
MAX_EVENTS = 3
SCHEMA_EVERY = 8  # writes; the schema is slow to check
HELD_OUT = {"validate": {"validation"}, "test": {"test", "probe"}, "judge": {"test"}}
READY_RULES = {
    ("False", True, False, False, False),  # working
    ("False", False, True, False, False),  # blocked
    ("False", False, False, False, False),  # suspended
    ("True", False, False, True, False),  # ended well
    ("False", False, True, False, True),  # ended badly
}


@cache
def status_schema(crd: str = "flywheelruns.yaml") -> Draft4Validator:
    """The status schema that the API server would check."""
    versions = all_crds()[crd]["spec"]["versions"]
    return Draft4Validator(versions[0]["schema"]["openAPIV3Schema"]["properties"]["status"])


def check_plan(world: World, observed: RunObserved, plan: RunPlan) -> None:
    """A plan against what was observed and what the world knows."""
    before = observed.run.status
    assert len(plan.create) <= 1
    assert len(plan.events) <= MAX_EVENTS
    if ended(before):
        assert not plan.create and plan.status == before, "after an end nothing changes anything"
    for job in plan.create:
        assert not any(entry.view.active for entry in world.jobs.values()), "two active Jobs of one run"
        assert not observed.run.spec.suspend and not observed.run.spec.stop.now
        _check_job(world, plan.status, job)
    if observed.run.spec.control:
        assert not any(job.step in ("test", "judge") for job in plan.create)
        assert plan.status.candidate is None and plan.status.test_openings == 0
        assert HELD_OUT_EXHAUSTED not in {entry.type for entry in plan.status.conditions}
    if before.first_candidate is not None:
        assert plan.status.first_candidate == before.first_candidate
    if before.best is not None:
        assert plan.status.best is not None
        assert Decimal(plan.status.best.accuracy) >= Decimal(before.best.accuracy)
    _check_conditions(before, plan.status)
    _check_attempt(world, plan)


def _check_job(world: World, status: FlywheelRunStatus, job: StepJob) -> None:
    request, key = job.request, (job.request.iteration, job.step)
    assert DNS_LABEL.fullmatch(job.name)
    assert StepRequest.model_validate(request.to_json_object()) == request
    assert request.attempt > world.recorded.get(key, 0), "ordinals grow"
    assert job.rereads is None or job.rereads < request.attempt
    assert key not in world.accepted, "a step that has an accepted attempt is not done again"
    for entry in request.inputs:
        pools = {part.removeprefix("pools/") for part in entry.parts if part.startswith("pools/")}
        assert entry.parts, "without parts everything would be mounted"
        assert not pools & {"validation", "test", "probe"} - HELD_OUT.get(request.step, set())
        assert not pools - {"exam", "curriculum"} or entry.name == "curriculum"
        if entry.name == "curriculum":
            assert status.curriculum is not None
            assert (entry.path, entry.digest) == (status.curriculum.path, status.curriculum.digest)
            continue
        if entry.name == "serving":
            assert status.serving is not None and status.candidate is None
            assert (entry.path, entry.digest) == (status.serving.path, status.serving.manifest)
            continue
        number, step, attempt = re.fullmatch(r".*/iter-(\d+)/(\w+)/a(\d+)", entry.path).groups()  # type: ignore[union-attr]
        assert world.workspace[entry.path][0] == entry.digest
        known = world.accepted | accepted_steps(status)
        assert known[(int(number), step)] == (int(attempt), entry.digest)
    if request.step == "test":
        _check_test(world, status, job)
    ledgers = {path.split("/")[0] for path in request.also_writable} & {"ledger", "judged"}
    assert ledgers == {"preflight": {"ledger"}, "exam": {"ledger"}, "evaluate": {"ledger"}, "judge": {"judged"}}.get(
        request.step, set()
    )


def _check_test(world: World, status: FlywheelRunStatus, job: StepJob) -> None:
    """The test pool is opened for a new best that validation proved better, and seldom."""
    current, most = status.current, world.spec.get("gate", {}).get("maxTestOpenings", 5)
    assert current is not None and status.best is not None
    assert status.best.iteration == current.number
    assert status.test_openings < most
    opening = job.request.parameters.opening if isinstance(job.request.parameters, MeasureParameters) else None
    if job.rereads is None:
        assert opening is not None and opening.alpha >= opening.share + Decimal(status.alpha_spent)
    untrained = best_untrained(status.baseline)
    assert untrained is not None and proven_better(current.gains, untrained.name)
    assert status.candidate is None or proven_better(current.gains, "incumbent")


def _check_conditions(before: FlywheelRunStatus, after: FlywheelRunStatus) -> None:
    held = {entry.type: entry for entry in after.conditions}
    assert len(held) == len(after.conditions)
    true = {kind for kind, entry in held.items() if entry.status == "True"}
    shape = tuple(kind in true for kind in ("Reconciling", "Stalled", "Completed", "Failed"))
    assert (held["Ready"].status, *shape) in READY_RULES
    gone = {entry.type for entry in before.conditions if entry.status == "True"} - true
    assert not gone & {"Completed", "Failed"}
    for entry in after.conditions:
        assert entry.message and len(entry.message) <= 1024
        old = next((one for one in before.conditions if one.type == entry.type), None)
        if old is not None and old.status == entry.status:
            assert old.last_transition_time == entry.last_transition_time


def _check_attempt(world: World, plan: RunPlan) -> None:
    """Only failures of the step use attempts up."""
    attempt, current = plan.status.attempt, plan.status.current
    failed = next((entry for entry in plan.status.conditions if entry.type == "Failed"), None)
    if attempt is None or current is None:
        assert failed is None
        return
    step = plan.status.step or _missing_step(plan.status)
    assert attempt.failures <= world.failures[(current.number, step)]
    if failed is not None and failed.reason not in ("BadInput", "Disrupted"):
        most = world.spec["jobs"]["defaults"].get("attempts", 3)
        assert attempt.failures >= most


def _missing_step(status: FlywheelRunStatus) -> str:
    assert status.current is not None
    done = {entry.name for entry in status.current.steps}
    order = ("exam", "answer", "evaluate", "train", "validate", "test", "judge")
    order = order if status.current.number else ("validate", "preflight")
    return next(step for step in order if step not in done)


def check_write(world: World) -> None:
    """A status as it is written."""
    assert world.read_status().to_json_object() == world.status
    assert world.ended or damage(world.read_status()) is None
    assert len(json.dumps(world.status)) < MAX_STATUS_BYTES
    for key, value in accepted_steps(world.read_status()).items():
        assert world.accepted.setdefault(key, value) == value, "one accepted attempt per step"
    if world.writes % SCHEMA_EVERY and not world.ended:
        return
    faults = [error.message for error in status_schema().iter_errors(world.status)]
    assert not faults


def accepted_steps(status: FlywheelRunStatus) -> dict[tuple[int, str], tuple[int, str]]:
    """Attempt and digest that a status names, by iteration and step."""
    iterations = [*status.history, *([status.current] if status.current else [])]
    found = {(one.number, step.name): (step.attempt, step.digest) for one in iterations for step in one.steps}
    if (step := status.baseline_step) is not None:
        found[(0, step.name)] = (step.attempt, step.digest)
    return found


def check_idle(world: World) -> None:
    """Looking again at once changes nothing: no write, no Job, no event."""
    observed = world.observe()
    again = decide_run(observed, world.now)
    if again.status.to_json_object() == world.status:
        assert not again.create and not again.events
        return
    # The write before this look was lost, or a Job has ended: then the look after the next one is idle.
    world.reconcile()
    settled = decide_run(world.observe(), world.now)
    assert settled.status.to_json_object() == world.status
    assert not settled.create and not settled.events
