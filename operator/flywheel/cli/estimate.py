"""`flywheel estimate FOLDER`: the figures as a table, and in words what they leave open."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flywheel.cli.options import Folder, Format, Output
from flywheel.cli.printing import print_data, terminal
from flywheel.cli.run import with_options
from flywheel.local.estimate import Estimate, Measured, Tokens, measured_in
from flywheel.local.estimate import estimate as estimated
from flywheel.local.manifests import read_manifests
from flywheel.local.preparing import prepared
from flywheel.local.run import local_metadata
from flywheel.workspace.store import Workspace


def estimate(
    folder: Folder,
    iterations: Annotated[int | None, typer.Option(help="As if the run stopped after this many iterations.")] = None,
    seconds_per_step: Annotated[float | None, typer.Option(help="Of the optimiser, for GPU hours.")] = None,
    seconds_per_answer: Annotated[float | None, typer.Option(help="Of the student, for GPU hours.")] = None,
    measured: Annotated[Path | None, typer.Option(help="Workspace of a run whose steps per second count.")] = None,
    output: Format = Output.TEXT,
) -> None:
    """Say what a run will cost, before it begins.

    Calls, tokens, money, GPU hours, and what it could prove.
    """
    curriculum, flywheel_run = read_manifests(folder)
    spec = with_options(flywheel_run.spec, iterations, None)
    if seconds_per_step is None and measured is not None:
        seconds_per_step = measured_in(Workspace(measured))
    known = Measured(seconds_per_step=seconds_per_step, seconds_per_answer=seconds_per_answer)
    with TemporaryDirectory() as scratch:
        local = curriculum.model_copy(update={"metadata": local_metadata(curriculum.metadata)})
        ready = prepared(local, folder, Path(scratch))
        found = estimated(ready, flywheel_run.model_copy(update={"spec": spec}), Workspace(scratch), known)
    if output is Output.TEXT:
        print_estimate(terminal(), found)
    else:
        print_data(found.model_dump(mode="json", by_alias=True), output)


def print_estimate(console: Console, found: Estimate) -> None:
    """Per iteration the calls and tokens, then the run as a whole."""
    table = Table(title="Teacher, if no reply is bad", title_justify="left")
    for column in ("Iteration", "Step", "Calls", "Tokens in", "at most", "Tokens out", "at most", "Trained on"):
        table.add_column(column, justify="left" if column in ("Iteration", "Step", "Trained on") else "right")
    table.add_row("0", "preflight", *_cells(found.preflight), "")
    for entry in found.iterations:
        table.add_row(str(entry.number), "exam", *_cells(entry.exam), "")
        trained = f"{entry.training_items} items, {entry.training_steps} steps"
        table.add_row("", "evaluate", *_cells(entry.evaluate), trained)
    table.add_row("all", "", *_cells(found.teacher), "")
    console.print(table)
    if found.cost is not None:
        words = f"Money: {found.cost:.2f} {found.currency} expected, at most {found.most_cost:.2f}"
        console.print(words, highlight=False)
    if found.seconds_at_limits is not None:
        console.print(
            f"Time under teacher.limits: at least {found.seconds_at_limits / 60:.0f} minutes", highlight=False
        )
    if found.gpu_hours is not None:
        console.print(f"GPU hours: {found.gpu_hours:.2f}", highlight=False)
    for name, calls in found.most_judging.items():
        console.print(f"Texts: at most {calls:,} calls of {name}", highlight=False)
    for pool, gain in found.smallest_gains.items():
        shown = "no gain at all" if gain is None else f"a gain from {gain:.4f}"
        console.print(
            f"Proof: the pool {pool} shows {shown} (80 % power, 15 % of the answers differing)", highlight=False
        )
    for words in found.unknown:
        console.print(f"Not known: {words}", highlight=False)


def _cells(tokens: Tokens) -> tuple[str, ...]:
    least, most = tokens.least_calls, tokens.most_calls
    calls = str(most) if least == most else f"{least} to {most}"
    counts = (tokens.input_tokens, tokens.most_input_tokens, tokens.output_tokens, tokens.most_output_tokens)
    return calls, *(f"{count:,}" for count in counts)
