"""How far the teacher is to be believed: its error on trusted items, its replies, and what the firewall kept out."""

from __future__ import annotations

from collections import Counter

from flywheel.api.result import EvaluateFigures, ExamFigures, PreflightFigures
from flywheel.loop.teacher_error import LEVEL
from flywheel.report.blocks import Cell, Figure, Table, count, interval, share, text
from flywheel.report.charts import forest
from flywheel.report.run import MissingError, Run
from flywheel.statistics.intervals import Interval, wilson

Taught = ExamFigures | EvaluateFigures


def _taught(run: Run) -> list[tuple[int, str, Taught]]:
    found = [
        (entry.iteration, entry.step, figures)
        for entry in run.attempts
        if isinstance(figures := entry.manifest.figures, ExamFigures | EvaluateFigures)
    ]
    if not found:
        raise MissingError("no finished exam or evaluate is on the workspace")
    return found


def _blind(run: Run) -> dict[str, tuple[int, int, int]]:
    """Per label: trusted items that the teacher labelled unseen, wrong ones, and those it refused; all iterations."""
    exams = [figures.blind for _, _, figures in _taught(run) if isinstance(figures, ExamFigures)]
    pooled: dict[str, tuple[int, int, int]] = {}
    for blind in exams:
        for label, (items, wrong, refused) in zip(run.task.label.order, blind, strict=False):
            before = pooled.get(label, (0, 0, 0))
            pooled[label] = (before[0] + items, before[1] + wrong, before[2] + refused)
    if not any(items for items, _, _ in pooled.values()):
        raise MissingError("the teacher labelled no trusted item: how often it errs is unknown")
    return pooled


def _error(items: int, wrong: int) -> Interval:
    return wilson(min(wrong, items), items, level=LEVEL)


def error_chart(run: Run) -> Figure:
    """Share of trusted items that the teacher labels wrongly."""
    rows = [
        (label, [("c2", found.value, found.low, found.high)])
        for label, (items, wrong, _) in _blind(run).items()
        if items and (found := _error(items, wrong))
    ]
    caption = "Teacher's error by label, on trusted items whose label it did not see"
    return Figure(caption, forest(caption, rows, ends=(0.0, 1.0)), f"Wilson intervals at {LEVEL}.")


def error(run: Run) -> Table:
    """The same as a table."""
    rows: list[list[Cell]] = []
    for label, (items, wrong, refused) in _blind(run).items():
        found = _error(items, wrong) if items else None
        ends = interval(found.low, found.high) if found is not None else text("no items")
        rows.append(
            [text(label), count(items), count(wrong), share(found.value if found else None), ends, count(refused)]
        )
    return Table("Teacher's error by label", ("Label", "Items", "Wrong", "Error", "Interval", "Refused"), rows)


def gap(run: Run) -> Table:
    """How much better the student looks on the teacher's own questions."""
    rows = [
        [count(number), share(found.difference), interval(found.low, found.high)]
        for number, _, figures in _taught(run)
        if isinstance(figures, EvaluateFigures) and (found := figures.inflation_gap) is not None
    ]
    if not rows:
        raise MissingError("no exam had anchors: whether the teacher's keys flatter the student is unknown")
    note = "Balanced accuracy on the teacher's questions minus that on the trusted anchors of the same exam."
    return Table("Inflation gap", ("Iteration", "Gap", "Interval"), rows, note)


def replies(run: Run) -> Table:
    """How the teacher's replies were read, from strict JSON to refused."""
    counts: Counter[str] = Counter()
    for entry in run.attempts:
        if isinstance(figures := entry.manifest.figures, PreflightFigures | ExamFigures | EvaluateFigures):
            counts.update(figures.replies)
    if not counts:
        raise MissingError("no reply of the teacher is counted")
    rows = [[text(rung), count(n)] for rung, n in sorted(counts.items())]
    return Table("Replies of the teacher, by how they were read", ("Read as", "Replies"), rows)


def firewall(run: Run) -> Table:
    """What was compared with held-out items, what was quarantined, and what was redacted in prompts."""
    rows = [
        [
            count(number),
            text(step),
            count(figures.checked),
            text(_counted(figures.quarantined)),
            text(_counted(figures.redacted)),
            text(_short(run, figures)),
        ]
        for number, step, figures in _taught(run)
    ]
    columns = ("Iteration", "Step", "Items compared", "Quarantined", "Redacted in prompts", "Missing items")
    return Table("Firewall, redaction and shortages", columns, rows)


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(found.items())) or "none"


def _short(run: Run, figures: Taught) -> str:
    order = run.task.label.order
    parts = [
        f"{order[place] if place < len(order) else place} {n} ({why})"
        for why, found in sorted(figures.short.items())
        for place, n in sorted(found.items())
    ]
    return ", ".join(parts) or "none"
