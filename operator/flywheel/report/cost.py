"""What the run was charged: calls and tokens of each step, money at the prices of its spec, time of pods."""

from __future__ import annotations

from flywheel.api.flywheelrun import Budget
from flywheel.api.result import EvaluateFigures, ExamFigures, JudgeFigures, PreflightFigures, Usage
from flywheel.report.blocks import Cell, Facts, Figure, Table, count, text
from flywheel.report.charts import bars
from flywheel.report.run import MissingError, Run

Charged = tuple[int, str, str, Usage]
_SHADES = (("tokens in", 25), ("tokens out", 85))


def _charges(run: Run) -> list[Charged]:
    found: list[Charged] = []
    for entry in run.attempts:
        match entry.manifest.figures:
            case PreflightFigures(usage=usage) | ExamFigures(usage=usage) | EvaluateFigures(usage=usage):
                found.append((entry.iteration, entry.step, "teacher", usage))
            case JudgeFigures(usage=by_name):
                found += [(entry.iteration, entry.step, name, usage) for name, usage in sorted(by_name.items())]
            case _:
                pass
    if not found:
        raise MissingError("no finished step on the workspace has asked a teacher")
    return found


def tokens_chart(run: Run) -> Figure:
    """Tokens of each step."""
    rows = [
        (f"{number} {step}" if name == "teacher" else f"{number} {step}: {name}", 0.0, _parts(usage))
        for number, step, name, usage in _charges(run)
    ]
    return Figure("Tokens by step", bars("Tokens by step", "tokens", rows, _SHADES))


def _parts(usage: Usage) -> list[tuple[str, float, int]]:
    counts = (usage.input_tokens, usage.output_tokens)
    return [(f"{n:,} {name}", float(n), shade) for n, (name, shade) in zip(counts, _SHADES, strict=True)]


def charges(run: Run) -> Table:
    """The same as a table, with the sum."""
    found = _charges(run)
    rows = [[count(number), text(step), text(name), *_cells(usage)] for number, step, name, usage in found]
    usages = [usage for *_, usage in found]
    total = Usage(**{name: sum(getattr(one, name) for one in usages) for name in Usage.model_fields})
    rows.append([text("all"), text(""), text(""), *_cells(total)])
    columns = (
        "Iteration", "Step", "Endpoint", "Calls", "From the ledger", "Cut off", "Tokens in", "Of these cached",
        "Tokens out",
    )  # fmt: skip
    note = (
        "Of the finished attempts that are on the workspace. Calls from the ledger were paid before, perhaps by another"
        " run, and cost nothing again; requests that were cut off are charged as reserved."
    )
    return Table("Calls and tokens", columns, rows, note)


def _cells(usage: Usage) -> list[Cell]:
    calls = (usage.calls, usage.recorded, usage.lost_in_flight)
    return [count(n) for n in (*calls, usage.input_tokens, usage.cached_tokens, usage.output_tokens)]


def spent(run: Run) -> Facts:
    """What the operator has charged in all, against the budget."""
    status, spec = run.status, run.resource.spec if run.resource is not None else None
    usage, prices = status.usage, spec.teacher.prices if spec is not None else None
    budget = spec.stop.budget if spec is not None else None
    entries: list[tuple[str, Cell]] = [
        ("Teacher", text(f"{usage.teacher_calls:,} calls, {usage.teacher_tokens:,} tokens charged")),
        ("Money", text(_money(usage.cost, prices.currency if prices is not None else None))),
        ("Pods", text(f"{usage.pod_seconds:,} s, {usage.gpu_seconds / 3600:.2f} GPU hours, failed attempts included")),
        ("Budget", text(_limits(budget))),
        ("Calls that the budget did not cover", count(usage.unaffordable)),
    ]
    for endpoint in status.judge.usage if status.judge is not None else []:
        words = f"{endpoint.calls:,} calls, {endpoint.input_tokens + endpoint.output_tokens:,} tokens"
        entries.append(
            (f"Beside the teacher: {endpoint.name}", text(f"{words}; money {endpoint.cost or 'not priced'}"))
        )
    return Facts("Charged in all, by the operator's books", entries)


def _money(cost: str | None, currency: str | None) -> str:
    return (
        f"{cost} {currency}" if cost is not None and currency is not None else "unknown: spec.teacher.prices is absent"
    )


def _limits(budget: Budget | None) -> str:
    if budget is None:
        return "none was set"
    limits = budget.to_json_object()
    return ", ".join(f"{name} {value}" for name, value in limits.items())
