"""What is shown of a FlywheelRun: its status and budget as series. A pure function; the look at the run calls it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import cast, get_args

from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import Bounds, FlywheelRunStatus, InflationGap, Measured, PodTime
from flywheel.api.jobs import StepName
from flywheel.api.model import duration_seconds
from flywheel.controller.object_series import Family, Sample, conditions_of, figure, timestamp
from flywheel.controller.step_defaults import STEP_DEFAULTS
from flywheel.loop.budget import accounts
from flywheel.loop.stopping import iterations_without_gain, patience

_NEWEST = "the newest adapter on the validation pool"
_TESTED = "the newest candidate on the test pool"

CONDITION = Family(
    "flywheel_run_condition", "1 for each condition, with its status and reason.", ("type", "status", "reason")
)
START = Family("flywheel_run_start_timestamp_seconds", "When the first step started.")
END = Family("flywheel_run_end_timestamp_seconds", "When the run ended.")
CONTROL = Family("flywheel_run_control", "1 for a control run, of which nothing is ever promoted; none for others.")
ITERATION = Family("flywheel_run_iteration", "Iteration at work; 0 measures the untrained student.")
ITERATIONS = Family("flywheel_run_iterations_max", "Most iterations: stop.maxIterations.")
STEP = Family("flywheel_run_step", "1 for the step at work; none where none is.", ("step",))
STEP_START = Family(
    "flywheel_run_step_start_timestamp_seconds", "When the step at work began in its newest pod; none while it waits."
)
STEP_TIMEOUT = Family("flywheel_run_step_timeout_seconds", "After this time the pod of the step at work is killed.")
STEP_FAILURES = Family("flywheel_run_step_failures", "Attempts that the step at work has used up.")
PROFICIENCY = Family("flywheel_run_proficiency", "The teacher's newest grade, 1 to 10.")
EXAM = Family("flywheel_run_exam_accuracy", "Balanced accuracy on the newest exam.")
EXAM_LOW = Family("flywheel_run_exam_accuracy_low", "Lower bound of it, on the newest exam.")
EXAM_HIGH = Family("flywheel_run_exam_accuracy_high", "Upper bound of it, on the newest exam.")
GAP = Family("flywheel_run_inflation_gap", "Newest exam: accuracy by the teacher's keys minus that on the anchors.")
GAP_LOW = Family("flywheel_run_inflation_gap_low", "Lower bound of the inflation gap.")
GAP_HIGH = Family("flywheel_run_inflation_gap_high", "Upper bound of the inflation gap.")
VALIDATION = Family("flywheel_run_validation_accuracy", f"Balanced accuracy of {_NEWEST}.")
VALIDATION_LOW = Family("flywheel_run_validation_accuracy_low", f"Lower bound of it: {_NEWEST}.")
VALIDATION_HIGH = Family("flywheel_run_validation_accuracy_high", f"Upper bound of it: {_NEWEST}.")
TEST = Family("flywheel_run_test_accuracy", f"Balanced accuracy of {_TESTED}.")
TEST_LOW = Family("flywheel_run_test_accuracy_low", f"Lower bound of it: {_TESTED}.")
TEST_HIGH = Family("flywheel_run_test_accuracy_high", f"Upper bound of it: {_TESTED}.")
BASELINE = Family(
    "flywheel_run_baseline_accuracy", "Balanced accuracy without training on the validation pool, by arm.", ("arm",)
)
BEST = Family("flywheel_run_best_accuracy", "Balanced accuracy of the best adapter so far on the validation pool.")
CANDIDATE = Family("flywheel_run_candidate_iteration", "Iteration of the newest adapter that passed the gate.")
WITHOUT_GAIN = Family(
    "flywheel_run_iterations_without_gain",
    "Over how many iterations up to the newest measured one no gain is proven: over the adapter flywheel_run_patience"
    " iterations before (with stop.plateau), else over the untrained student.",
)
PATIENCE = Family("flywheel_run_patience", "stop.plateau.patience, 3 where there is none.")
TEACHER_ERROR = Family(
    "flywheel_run_teacher_error", "Share of the trusted items of a label that the teacher labels wrongly.", ("label",)
)
CALLS = Family("flywheel_run_teacher_calls_total", "Teacher calls paid.")
TOKENS = Family(
    "flywheel_run_teacher_tokens_total",
    "Teacher tokens charged, by kind: input, output; cached are those of input found in the endpoint's cache.",
    ("kind",),
)
COST = Family("flywheel_run_teacher_cost_total", "Cost of the teacher, in the currency of teacher.prices.")
LOST = Family("flywheel_run_teacher_lost_total", "Teacher requests that were cut off, charged as reserved.")
REPLIES = Family(
    "flywheel_run_teacher_replies_total", "Replies of the teacher, by how they were read (docs/teacher.md).", ("rung",)
)
VOTED_OUT = Family("flywheel_run_voted_out_total", "Items of the teacher that its own votes did not confirm.")
CHECKED = Family("flywheel_run_leakage_checked_total", "Items of the teacher compared with all held-out items.")
LEAKED = Family("flywheel_run_leaked_items_total", "Of these, left out because they were held-out ones.", ("reason",))
MISSING = Family(
    "flywheel_run_missing_items", "Items that the newest exam or the newest examples fall short of.", ("step",)
)
POD_SECONDS = Family("flywheel_run_pod_seconds_total", "Time that the steps' pods ran, the one at work not included.")
GPU_SECONDS = Family("flywheel_run_gpu_seconds_total", "The same, times the GPUs of each pod.")
BUDGET_USED = Family(
    "flywheel_run_budget_used",
    "Used of each limit of stop.budget: teacherTokens, cost, gpuHours, wallTime in seconds.",
    ("budget",),
)
BUDGET_LEFT = Family("flywheel_run_budget_left", "Left of each limit of stop.budget, in the same unit.", ("budget",))

RUN_FAMILIES = tuple(value for value in list(globals().values()) if isinstance(value, Family))


def run_samples(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> Iterator[Sample]:
    """All series of one run."""
    yield from conditions_of(CONDITION, status.conditions)
    yield from timestamp(START, status.started_at)
    yield from timestamp(END, status.ended_at)
    yield from figure(CONTROL, 1 if spec.control else None)
    yield from figure(ITERATION, status.iteration)
    yield from figure(ITERATIONS, spec.stop.max_iterations)
    yield from _step(spec, status)
    yield from _learned(spec, status)
    yield from _teacher(status)
    yield from _spent(spec, status)


def _step(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> Iterator[Sample]:
    if status.step is None:
        return
    yield from figure(STEP, 1, status.step)
    yield from figure(STEP_FAILURES, status.attempt.failures if status.attempt is not None else 0)
    if status.step in get_args(StepName):
        step = cast(StepName, status.step)
        timeout = spec.jobs.for_step(step).timeout or STEP_DEFAULTS[step].timeout
        yield from figure(STEP_TIMEOUT, float(duration_seconds(timeout)))
    if status.pod is not None and _at_work(status.pod, status):
        yield from timestamp(STEP_START, status.pod.since)


def _at_work(pod: PodTime, status: FlywheelRunStatus) -> bool:
    return not pod.counted and (pod.iteration, pod.step) == (status.iteration, status.step)


def _learned(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> Iterator[Sample]:
    yield from figure(PROFICIENCY, status.proficiency)
    yield from _interval((EXAM, EXAM_LOW, EXAM_HIGH), status.exam_accuracy, status.exam_bounds)
    gap = status.inflation_gap
    yield from _interval((GAP, GAP_LOW, GAP_HIGH), gap.gap if gap is not None else None, gap)
    validation, test = status.validation, status.test
    families = (VALIDATION, VALIDATION_LOW, VALIDATION_HIGH)
    yield from _interval(families, validation.accuracy if validation is not None else None, validation)
    yield from _interval((TEST, TEST_LOW, TEST_HIGH), test.accuracy if test is not None else None, test)
    for arm in status.baseline:
        yield from figure(BASELINE, arm.accuracy, arm.name)
    yield from figure(BEST, status.best.accuracy if status.best is not None else None)
    yield from figure(CANDIDATE, status.candidate.iteration if status.candidate is not None else None)
    yield from figure(WITHOUT_GAIN, iterations_without_gain(spec, status))
    yield from figure(PATIENCE, patience(spec))


def _interval(
    families: tuple[Family, Family, Family], value: str | None, bounds: Measured | Bounds | InflationGap | None
) -> Iterator[Sample]:
    if bounds is not None:
        for family, number in zip(families, (value, bounds.low, bounds.high), strict=True):
            yield from figure(family, number)


def _teacher(status: FlywheelRunStatus) -> Iterator[Sample]:
    usage = status.usage
    yield from figure(CALLS, usage.teacher_calls)
    yield from figure(TOKENS, usage.teacher_input_tokens, "input")
    yield from figure(TOKENS, usage.teacher_output_tokens, "output")
    yield from figure(TOKENS, usage.teacher_cached_tokens, "cached")
    yield from figure(COST, usage.cost)
    yield from figure(LOST, usage.lost_in_flight)
    for reply in status.replies:
        yield from figure(REPLIES, reply.count, reply.rung)
    for label in status.teacher_error:
        if label.items:
            yield from figure(TEACHER_ERROR, label.error, label.label)
    yield from figure(VOTED_OUT, status.voted_out)
    if status.leakage is not None:
        yield from figure(CHECKED, status.leakage.checked)
        for leak in status.leakage.quarantined:
            yield from figure(LEAKED, leak.items, leak.reason)
    for step in ("exam", "evaluate"):
        yield from figure(MISSING, sum(entry.missing for entry in status.shortages if entry.step == step), step)


def _spent(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> Iterator[Sample]:
    yield from figure(POD_SECONDS, status.usage.pod_seconds)
    yield from figure(GPU_SECONDS, status.usage.gpu_seconds)
    for limit, (used, left) in accounts(spec, status.usage).items():
        yield from _account(limit, used, left)


def _account(limit: str, used: Decimal, left: Decimal) -> Iterator[Sample]:
    yield from figure(BUDGET_USED, float(used), limit)
    yield from figure(BUDGET_LEFT, float(left), limit)
