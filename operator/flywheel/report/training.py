"""Loss curves of each iteration's training."""

from __future__ import annotations

from flywheel.api.item import CurvePoint
from flywheel.api.result import TrainFigures
from flywheel.report.blocks import Figure, Table, count, share, text
from flywheel.report.charts import line_chart, thinned
from flywheel.report.run import MissingError, Run

_COLOURS = ("c1", "c2", "c3", "c5", "c6")
_MOST_LINES = len(_COLOURS)


def loss_chart(run: Run) -> Figure:
    """The loss of each optimiser step, of the newest iterations."""
    trained = run.steps("train")
    shown = trained[-_MOST_LINES:]
    series = [
        (f"iteration {entry.iteration}", colour, [(x, y, None, None) for x, y in points])
        for colour, entry in zip(_COLOURS, shown, strict=False)
        if (points := thinned([(float(p.step), p.loss) for p in run.lines(entry, "curve.jsonl", CurvePoint)]))
    ]
    if not series:
        raise MissingError("the recorded loss curves are empty")
    highest = max(y for _, _, points in series for _, y, _, _ in points)
    chart = line_chart("Training loss", ("optimiser step", "loss"), series, (0.0, highest), marked=False)
    left_out = f" The {len(shown)} newest of {len(trained)} iterations." if len(shown) < len(trained) else ""
    note = f"Loss on the training set: that it falls says only that training worked.{left_out}"
    return Figure("Training loss", chart, note)


def training(run: Run) -> Table:
    """What was trained, and how fast."""
    rows = [
        [
            count(entry.iteration),
            count(figures.steps),
            share(figures.first_loss),
            share(figures.last_loss),
            share(figures.steps_per_second, 2),
            count(figures.over_long),
            text(_resumed(figures)),
        ]
        for entry in run.steps("train")
        if isinstance(figures := entry.manifest.figures, TrainFigures)
    ]
    columns = (
        "Iteration",
        "Optimiser steps",
        "First loss",
        "Last loss",
        "Steps a second",
        "Examples too long",
        "Resumed",
    )
    return Table("Training", columns, rows)


def _resumed(figures: TrainFigures) -> str:
    return f"at step {figures.resumed_at}" if figures.resumed_at else "no"
