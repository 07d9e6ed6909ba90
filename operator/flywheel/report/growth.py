"""The data: what the revision holds, and how the training set grew and is balanced. Counts only."""

from __future__ import annotations

from collections import Counter

from flywheel.api.item import Example
from flywheel.api.result import EvaluateFigures
from flywheel.report.blocks import Cell, Figure, Table, count, text
from flywheel.report.charts import bars, ramp
from flywheel.report.run import MissingError, Run


def pools(run: Run) -> Table:
    """Items of the Curriculum by pool and label."""
    prepared, labels = run.prepared, run.task.label.order
    rows: list[list[Cell]] = []
    for name, items in prepared.items.items():
        by_label = prepared.labels.get(name, [])
        rows.append([text(name), count(items), *(count(n) for n in by_label), count(prepared.units.get(name, 0))])
    note = f"Of the held-out items {prepared.held_out_by_rule:,} were labelled by a rule, not by a person."
    if prepared.rejected:
        note += " Rejected lines: " + ", ".join(f"{why} {n:,}" for why, n in sorted(prepared.rejected.items())) + "."
    columns = ("Pool", "Items", *labels, "Units of code")
    return Table(f"The revision {prepared.revision} of the Curriculum", columns, rows, note)


def _training_sets(run: Run) -> dict[int, list[Example]]:
    return {entry.iteration: run.lines(entry, "train.jsonl", Example) for entry in run.steps("evaluate")}


def _labels(run: Run, examples: list[Example]) -> Counter[str]:
    path = run.task.label.path
    return Counter(str(example.output.get(path)) for example in examples)


def balance_chart(run: Run) -> Figure:
    """The training set of each iteration by label."""
    order = run.task.label.order
    rows: list[tuple[str, float, list[tuple[str, float, int]]]] = []
    for number, examples in _training_sets(run).items():
        found = _labels(run, examples)
        parts = [
            (f"{label} {found[label]}", float(found[label]), ramp(place, len(order)))
            for place, label in enumerate(order)
        ]
        rows.append((f"iteration {number}", 0.0, parts))
    legend = [(label, ramp(place, len(order))) for place, label in enumerate(order)]
    chart = bars("Training set by label", "examples", rows, legend)
    return Figure("Training set by label", chart)


def balance(run: Run) -> Table:
    """The same as a table."""
    order, rows = run.task.label.order, list[list[Cell]]()
    for number, examples in _training_sets(run).items():
        found = _labels(run, examples)
        rows.append([count(number), count(len(examples)), *(count(found[label]) for label in order)])
    return Table("Balance of the training set", ("Iteration", "Trained on", *order), rows)


def growth(run: Run) -> Table:
    """What each iteration added, and what was left out."""
    rows: list[list[Cell]] = []
    for number, examples in _training_sets(run).items():
        figures = run.figures("evaluate", number, EvaluateFigures)
        if figures is None:
            raise MissingError(f"evaluate of iteration {number} reported nothing that can be read")
        replayed, copies = sum(example.origin == "replay" for example in examples), sum(figures.quarantined.values())
        sizes = (len(examples), len(examples) - replayed, replayed)
        rows.append(
            [count(n) for n in (number, figures.new_examples, *sizes, figures.rejected, figures.voted_out, copies)]
        )
    columns = (
        "Iteration",
        "New",
        "Trained on",
        "Of the teacher",
        "Of the pool",
        "Left out",
        "By votes",
        "As held-out copies",
    )
    note = "Left out: all that was rejected of what the teacher wrote; by votes: what its own did not confirm."
    return Table("Growth of the training set", columns, rows, note)
