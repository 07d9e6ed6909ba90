"""Label by label: confusion matrices of the bare student and of the best adapter, and the recall of each label.

Reads labels of held-out answers only: no question and no text of an item is looked at.
"""

from __future__ import annotations

from flywheel.api.item import Answer
from flywheel.report.blocks import Cell, Figure, Table, count, interval, share, text
from flywheel.report.charts import forest
from flywheel.report.run import MissingError, Run
from flywheel.statistics.confusion import Confusion
from flywheel.statistics.intervals import wilson
from flywheel.statistics.measurement import CANDIDATE

LEVEL = 0.95
_BASE = "base"


def _confusion(run: Run, iteration: int, arm: str) -> Confusion:
    recorded = run.step("validate", iteration)
    if recorded is None:
        raise MissingError(f"no finished validate of iteration {iteration} is on the workspace: perhaps cleaned up")
    answers = run.lines(recorded, f"answers/{arm}.jsonl", Answer)
    try:
        return Confusion.of(run.task.label.order, [(answer.truth, answer.label) for answer in answers])
    except ValueError as error:
        raise MissingError(f"{recorded.folder}/answers/{arm}.jsonl is not of this task") from error


def base_confusion(run: Run) -> Table:
    """The bare student."""
    return _matrix("The bare student, on the validation pool", _confusion(run, 0, _BASE))


def best_confusion(run: Run) -> Table:
    """The best adapter."""
    best = run.best
    return _matrix(f"The best adapter, of iteration {best}, on the validation pool", _confusion(run, best, CANDIDATE))


def _matrix(caption: str, found: Confusion) -> Table:
    rows = [
        [text(label), *(_share(cell, sum(counts)) for cell in counts), count(sum(counts))]
        for label, counts in zip(found.labels, found.counts, strict=True)
    ]
    note = (
        "Rows: the true label. Columns: the answer; “none” could not be read or asked. Shaded by the share of its row."
    )
    return Table(caption, ("True label", *found.labels, "none", "Items"), rows, note)


def _share(cell: int, items: int) -> Cell:
    return Cell(f"{cell:,}", number=True, shade=round(100 * cell / items) if items else 0)


def recall_chart(run: Run) -> Figure:
    """Recall of each label, before and after."""
    base, best = _confusion(run, 0, _BASE), _confusion(run, run.best, CANDIDATE)
    rows = [
        (label, [_recall("c4", base, label), _recall("c1", best, label)])
        for label in base.labels
        if base.support[label]
    ]
    legend = (("bare student", "c4"), (f"adapter of iteration {run.best}", "c1"))
    chart = forest("Recall by label, on the validation pool", rows, legend, (0.0, 1.0))
    return Figure("Recall by label, on the validation pool", chart, f"Wilson intervals at {LEVEL}.")


def _recall(colour: str, found: Confusion, label: str) -> tuple[str, float, float, float]:
    share = wilson(found.correct[label], found.support[label], level=LEVEL)
    return colour, share.value, share.low, share.high


def recall(run: Run) -> Table:
    """The same as a table."""
    base, best = _confusion(run, 0, _BASE), _confusion(run, run.best, CANDIDATE)
    rows: list[list[Cell]] = []
    for label in base.labels:
        row = [text(label), count(base.support[label])]
        for found in (base, best):
            if not found.support[label]:
                row += [text("no items"), text("")]
                continue
            _, value, low, high = _recall("", found, label)
            row += [share(value), interval(low, high)]
        rows.append(row)
    columns = ("Label", "Items", "Bare student", "Interval", "Best adapter", "Interval")
    return Table("Recall by label, on the validation pool", columns, rows)
