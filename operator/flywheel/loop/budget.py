"""What a run may still spend on its teacher and its pods, and when that is nothing (SCIENCE 6).

Cost is never summed up: it is the tokens charged so far at the prices of the spec, so that both always agree.
"""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import RunUsage
from flywheel.api.model import duration_seconds
from flywheel.api.money import Allowance, Prices
from flywheel.api.result import Usage
from flywheel.loop.state import State

# Steps that begin an iteration leave the reserve to those that finish it.
_BEGINS = ("preflight", "exam")
_CENT_OF_CENTS, _MOST_SHOWN = Decimal("0.0001"), Decimal("999999999")
_MOST_COUNTED = 10**15


def left(spec: FlywheelRunSpec, usage: RunUsage, step: str) -> Allowance | None:
    """What the budget leaves for a step; None where there is no budget. Never negative."""
    budget = spec.stop.budget
    if budget is None:
        return None
    share = 1 - budget.reserve_for_finish if step in _BEGINS else Decimal(1)
    tokens, money = budget.teacher_tokens, budget.cost
    return Allowance(
        tokens=None if tokens is None else max(0, int(tokens * share) - usage.teacher_tokens),
        cost=None if money is None else max(Decimal(0), money * share - _cost(spec.teacher.prices, usage)),
        prices=spec.teacher.prices,
    )


def charged(spec: FlywheelRunSpec, usage: RunUsage, step: Usage) -> RunUsage:
    """The run's usage with that of one more step."""
    counts = {
        "teacher_calls": _sum(usage.teacher_calls, step.calls),
        "teacher_tokens": _sum(usage.teacher_tokens, step.input_tokens + step.output_tokens),
        "teacher_input_tokens": _sum(usage.teacher_input_tokens, step.input_tokens),
        "teacher_output_tokens": _sum(usage.teacher_output_tokens, step.output_tokens),
        "teacher_cached_tokens": _sum(usage.teacher_cached_tokens, step.cached_tokens),
        "lost_in_flight": _sum(usage.lost_in_flight, step.lost_in_flight),
        "unaffordable": _sum(usage.unaffordable, step.unaffordable),
    }
    total = usage.model_copy(update=counts)
    if spec.teacher.prices is None:
        return total
    cost = min(_cost(spec.teacher.prices, total), _MOST_SHOWN).quantize(_CENT_OF_CENTS, ROUND_UP)
    return total.model_copy(update={"cost": str(cost)})


def exhausted(spec: FlywheelRunSpec, usage: RunUsage) -> State | None:
    """The end of a run whose budget leaves nothing for another exam; None while it leaves anything."""
    allowance, seconds = left(spec, usage, "exam"), seconds_left(spec, usage, "exam", gpus=1)
    if allowance is None or (allowance.tokens != 0 and allowance.cost != 0 and (seconds is None or seconds > 0)):
        return None
    return out_of_budget(spec, usage, "it leaves nothing for another exam")


def seconds_left(spec: FlywheelRunSpec, usage: RunUsage, step: str, gpus: int) -> float | None:
    """How long a pod with so many GPUs may run for a step; None where no limit holds it. Not below 0."""
    budget, limits = spec.stop.budget, list[Decimal]()
    if budget is None:
        return None
    share = 1 - budget.reserve_for_finish if step in _BEGINS else Decimal(1)
    if budget.wall_time is not None:
        limits.append(duration_seconds(budget.wall_time) * share - usage.pod_seconds)
    if budget.gpu_hours is not None and gpus:
        limits.append((budget.gpu_hours * 3600 * share - usage.gpu_seconds) / gpus)
    return float(max(Decimal(0), min(limits))) if limits else None


def accounts(spec: FlywheelRunSpec, usage: RunUsage) -> dict[str, tuple[Decimal, Decimal]]:
    """Of each limit of the budget, by its field's name: what is used, and what is left. Pods at work not included."""
    budget = spec.stop.budget
    if budget is None:
        return {}
    wall_time = duration_seconds(budget.wall_time) if budget.wall_time is not None else None
    found = {
        "teacherTokens": (budget.teacher_tokens, usage.teacher_tokens),
        "cost": (budget.cost, _cost(spec.teacher.prices, usage)),
        "gpuHours": (budget.gpu_hours, Decimal(usage.gpu_seconds) / 3600),
        "wallTime": (wall_time, usage.pod_seconds),
    }
    return {
        name: (Decimal(used), max(Decimal(0), limit - Decimal(used)))
        for name, (limit, used) in found.items()
        if limit is not None
    }


def out_of_budget(spec: FlywheelRunSpec, usage: RunUsage, why: str) -> State:
    """Ended well: the best adapter so far stays."""
    words = f"the budget is spent ({why}): charged {usage.teacher_tokens} tokens"
    if spec.teacher.prices is not None:
        words += f", {usage.cost or 0} {spec.teacher.prices.currency}"
    if usage.pod_seconds:
        words += f"; pods ran {usage.pod_seconds} s, {usage.gpu_seconds} GPU seconds"
    return State("completed", Reason.BUDGET_EXHAUSTED, f"{words}; for more, raise stop.budget in a new run")


def _cost(prices: Prices | None, usage: RunUsage) -> Decimal:
    if prices is None:
        return Decimal(0)
    return prices.cost(usage.teacher_input_tokens, usage.teacher_output_tokens, usage.teacher_cached_tokens)


def _sum(first: int, second: int) -> int:
    return min(first + second, _MOST_COUNTED)
