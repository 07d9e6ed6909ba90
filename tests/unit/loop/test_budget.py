"""The run's budget: what it leaves for a step, when it ends the run, and that what was charged is counted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import NOW, flywheel_run, run_spec
from simulation import World

from flywheel.api.conditions import TEACHER_REFUSALS
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus, ReplyCount, RunUsage
from flywheel.api.request import EvaluateParameters, ExamParameters
from flywheel.api.result import StepError, StepResult, Usage
from flywheel.loop.budget import charged, exhausted, left
from flywheel.loop.finding import with_finding
from flywheel.loop.refusals import refusals
from flywheel.loop.state import holds

PRICES = {"inputPerMillion": "2.5", "outputPerMillion": "10"}


def spec(prices: dict[str, str] | None = None, **budget: Any) -> FlywheelRunSpec:
    value = run_spec(budget=budget)
    value["teacher"] |= {"prices": prices} if prices else {}
    return flywheel_run(value).spec


def spent(tokens_in: int, tokens_out: int, of: FlywheelRunSpec) -> RunUsage:
    return charged(of, RunUsage(), Usage(input_tokens=tokens_in, output_tokens=tokens_out))


def test_without_a_budget_nothing_is_limited() -> None:
    free = flywheel_run(run_spec()).spec
    assert left(free, spent(10**9, 10**9, free), "exam") is None
    assert exhausted(free, spent(10**9, 10**9, free)) is None


def test_exams_leave_the_reserve_to_what_finishes_the_iteration() -> None:
    saving = spec(PRICES, teacherTokens=1000, cost="1", reserveForFinish="0.25")
    usage = spent(600, 100, saving)
    exam, evaluate = left(saving, usage, "exam"), left(saving, usage, "evaluate")
    assert exam is not None and evaluate is not None
    assert (exam.tokens, evaluate.tokens) == (50, 300)
    paid = Decimal("0.0025")
    assert (exam.cost, evaluate.cost) == (Decimal("0.75") - paid, Decimal(1) - paid)
    assert exhausted(saving, usage) is None
    assert exhausted(saving, spent(650, 100, saving)) is not None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=9), st.integers(1, 10**6))
def test_what_is_charged_and_what_is_left_make_the_budget(steps: list[tuple[int, int]], tokens: int) -> None:
    limited, usage = spec(PRICES, teacherTokens=tokens), RunUsage()
    for tokens_in, tokens_out in steps:
        usage = charged(limited, usage, Usage(calls=1, input_tokens=tokens_in, output_tokens=tokens_out))
    total = sum(tokens_in + tokens_out for tokens_in, tokens_out in steps)
    allowance = left(limited, usage, "evaluate")
    assert allowance is not None and allowance.tokens == max(0, tokens - total) and usage.teacher_tokens == total
    assert (exhausted(limited, usage) is not None) == (total >= tokens)
    exact = sum(tokens_in * Decimal("2.5") + tokens_out * 10 for tokens_in, tokens_out in steps) / 10**6
    assert usage.cost is None if not steps else 0 <= Decimal(usage.cost or 0) - exact < Decimal("0.0001")


@pytest.mark.parametrize("budget", [{}, {"reserveForFinish": "0.5"}, {"cost": "1"}])
def test_a_budget_without_a_limit_or_a_price_is_refused(budget: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"must be set|needs teacher\.prices"):
        spec(**budget)


def test_a_run_whose_budget_is_spent_ends_well_after_its_gate() -> None:
    world = World(spec=run_spec(maxIterations=9, budget={"teacherTokens": 315}))
    status = world.to_end()
    assert holds(status.conditions, "Completed") and status.conditions[0].reason == "BudgetExhausted"
    assert [entry.number for entry in status.history] == [1, 2, 3] and status.best is not None
    assert status.usage.teacher_tokens == 395, "the preflight is charged 65, each exam 110"
    told = [
        job.request.parameters.teacher.allowance.tokens
        for job in world.created
        if isinstance(job.request.parameters, ExamParameters | EvaluateParameters)
        and job.request.parameters.teacher.allowance is not None
    ]
    assert told == [250, 140, 140, 30, 30, 0]


def test_a_step_that_cannot_afford_its_calls_ends_the_run_well_and_is_charged() -> None:
    world = World(spec=run_spec(budget={"teacherTokens": 1000}))
    while not any(job.view.step == "evaluate" for job in world.jobs.values()):
        world.turn()
    (job,) = [job for job in world.jobs.values() if job.view.step == "evaluate"]
    usage = Usage(calls=1, input_tokens=500, output_tokens=300, unaffordable=1)
    error = StepError(reason="BudgetExhausted", message="the budget does not cover a new example", usage=usage)
    world.end(job, "bad input")
    assert job.view.pod is not None
    pod = job.view.pod.__class__(**{**vars(job.view.pod), "message": StepResult(error=error).to_message()})
    job.view = job.view.__class__(**{**vars(job.view), "pod": pod})
    status = world.to_end()
    assert holds(status.conditions, "Completed") and not holds(status.conditions, "Failed")
    assert status.conditions[0].reason == "BudgetExhausted" and "new example" in status.conditions[0].message
    assert (status.usage.teacher_tokens, status.usage.unaffordable) == (975, 1)


def told(status: FlywheelRunStatus) -> FlywheelRunStatus:
    return with_finding(status, TEACHER_REFUSALS, refusals(status), 1, NOW)


@pytest.mark.parametrize(("refused", "held"), [(0, None), (10, None), (11, "True")])
def test_many_refusals_are_said(refused: int, held: str | None) -> None:
    counts = [ReplyCount(rung="strict", count=100 - refused), ReplyCount(rung="filtered", count=refused)]
    status = told(FlywheelRunStatus(replies=counts))
    assert [entry.status for entry in status.conditions] == ([] if held is None else [held])
    better = [ReplyCount(rung="strict", count=1000), *counts[1:]]
    again = told(status.model_copy(update={"replies": better}))
    assert [entry.status for entry in again.conditions] == ([] if held is None else ["False"])
