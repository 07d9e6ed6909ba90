"""What a run will cost, before a token is spent: the prompts that the steps would render, counted.

Exact where it can be: which calls are made, and with which seeds. What the teacher and the student will say is not
known: the expected figures take items of the pools for it, the greatest take the longest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import ceil
from statistics import median_low

from pydantic import Field

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.jobs import gpus
from flywheel.api.model import Open
from flywheel.data.growth import replay_count
from flywheel.local.expected_calls import Pools, Tokens, evaluate_calls, exam_calls, preflight_calls
from flywheel.loop.underpowered import smallest_gains
from flywheel.workspace.store import Workspace


class IterationEstimate(Open):
    """One iteration."""

    number: int
    exam: Tokens
    evaluate: Tokens
    training_items: int
    training_steps: int


class Estimate(Open):
    """The whole run: all of `stop.maxIterations`."""

    preflight: Tokens
    iterations: list[IterationEstimate]
    teacher: Tokens = Field(description="Of all of these.")
    cost: Decimal | None = None
    most_cost: Decimal | None = None
    currency: str | None = None
    seconds_at_limits: float | None = None
    gpu_hours: float | None = None
    most_judging: dict[str, int] = Field(
        description="Most calls of the judge and of each compared model, without those for anchors."
    )
    smallest_gains: dict[str, float | None]
    unknown: list[str] = Field(description="What cannot be known, and what would tell.")


class Measured(Open):
    """What was measured elsewhere, or is guessed: seconds of an optimiser step, and of an answer of the student."""

    seconds_per_step: float | None = None
    seconds_per_answer: float | None = None


def estimate(curriculum: Curriculum, run: FlywheelRun, workspace: Workspace, measured: Measured) -> Estimate:
    """Of a prepared Curriculum and a run that has not begun."""
    spec = run.spec
    pools = Pools(curriculum, workspace)
    iterations = [_iteration(pools, run, number) for number in range(1, spec.stop.max_iterations + 1)]
    total = preflight = preflight_calls(pools)
    for entry in iterations:
        total = total.plus(entry.exam).plus(entry.evaluate)
    prices, held_out = spec.teacher.prices, curriculum.status.pools
    found = Estimate(
        preflight=preflight,
        iterations=iterations,
        teacher=total,
        seconds_at_limits=_seconds_at_limits(run, total),
        gpu_hours=_gpu_hours(
            run, iterations, sum(entry.items for entry in held_out if entry.name == "validation"), measured
        ),
        most_judging=_most_judging(run, sum(entry.items for entry in held_out if entry.name == "test")),
        smallest_gains={name: gain for name, (_, gain) in smallest_gains(spec, held_out).items()},
        unknown=_unknown(run, measured),
    )
    if prices is None:
        return found
    cost = prices.cost(total.input_tokens, total.output_tokens)
    most = prices.cost(total.most_input_tokens, total.most_output_tokens)
    return found.model_copy(update={"cost": cost, "most_cost": most, "currency": prices.currency})


def _iteration(pools: Pools, run: FlywheelRun, number: int) -> IterationEstimate:
    spec, count = run.spec, len(pools.curriculum)
    items = spec.exam.examples * number
    items += replay_count(items, pools.spec.growth.replay, count)
    steps = spec.training.max_steps or ceil(items * (spec.training.epochs or 1) / spec.training.global_batch_size)
    return IterationEstimate(
        number=number,
        exam=exam_calls(pools, run, number),
        evaluate=evaluate_calls(pools, run, number),
        training_items=items,
        training_steps=steps,
    )


def _seconds_at_limits(run: FlywheelRun, total: Tokens) -> float | None:
    limits = run.spec.teacher.limits
    tokens = total.input_tokens + total.output_tokens
    waits = [
        60 * used / limit
        for used, limit in ((total.calls, limits.requests_per_minute), (tokens, limits.tokens_per_minute))
        if limit is not None
    ]
    return max(waits, default=None)


def _gpu_hours(
    run: FlywheelRun, iterations: Sequence[IterationEstimate], validation: int, measured: Measured
) -> float | None:
    """Training, and each adapter and the untrained arms (three that ask the student) before the validation pool."""
    if measured.seconds_per_step is None or measured.seconds_per_answer is None:
        return None
    of = {step: _gpus(run, step) for step in ("train", "answer", "validate")}
    training = sum(entry.training_steps for entry in iterations) * measured.seconds_per_step * of["train"]
    count = len(iterations)
    answers = count * run.spec.exam.questions * of["answer"] + (count + 3) * validation * of["validate"]
    return (training + answers * measured.seconds_per_answer) / 3600


def _most_judging(run: FlywheelRun, test_items: int) -> dict[str, int]:
    """Each adapter that is tested meets the bare student, the incumbent and every model, in both orders.

    A model answers once: another adapter finds its answers in the ledger.
    """
    asked = run.spec.evaluation
    if asked is None:
        return {}
    items = min(asked.judge.items, test_items)
    tests = min(run.spec.stop.max_iterations, run.spec.gate.max_test_openings)
    judged = {"judge": tests * 2 * items * (2 + len(asked.compare))}
    return judged | {model.name: items for model in asked.compare}


def _gpus(run: FlywheelRun, step: str) -> int:
    resources = run.spec.jobs.for_step(step).resources
    return gpus(resources.limits) if resources is not None else 0


def _unknown(run: FlywheelRun, measured: Measured) -> list[str]:
    found = [
        "top-ups and repairs, where replies are bad: stop.budget bounds them",
        "how the teacher counts tokens: expected is bytes / 4, most is a token a byte, as the budget reserves",
    ]
    if run.spec.evaluation is not None:
        found.append("what judge and compared models say, and so their tokens: a budget of their own bounds them")
    if run.spec.teacher.prices is None:
        found.append("money: set teacher.prices of the FlywheelRun")
    if measured.seconds_per_step is None or measured.seconds_per_answer is None:
        found.append(
            "GPU hours: give --seconds-per-step and --seconds-per-answer, or --measured with the workspace of a run"
        )
    elif not any(_gpus(run, step) for step in ("train", "answer", "validate")):
        found.append("GPU hours: the run asks for no GPU (jobs.steps[].resources.limits)")
    if run.spec.teacher.limits.requests_per_minute is None and run.spec.teacher.limits.tokens_per_minute is None:
        found.append("time with the teacher: set teacher.limits")
    return found


def measured_in(workspace: Workspace) -> float | None:
    """Seconds of an optimiser step in the runs of a workspace, or None where none has trained."""
    paths = workspace.root.glob("runs/*/*/iter-*/train/a*/manifest.json")
    rates = [workspace.read_json(path.relative_to(workspace.root).as_posix())["figures"] for path in paths]
    speeds = [float(entry["stepsPerSecond"]) for entry in rates if entry.get("stepsPerSecond")]
    return 1 / median_low(speeds) if speeds else None
