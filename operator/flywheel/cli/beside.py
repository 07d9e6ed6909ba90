"""A run beside its control, iteration by iteration: what did the teacher's examples add?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import Iteration
from flywheel.cli.live import interval_of

_SAME = ("student", "exam", "training", "seed")  # of spec: else the difference is not the teacher's


def print_beside(console: Console, runs: Sequence[FlywheelRun]) -> None:
    """The table, where the run and its control are both there and are the same but for what they are trained on."""
    run = next((entry for entry in runs if not entry.spec.control), None)
    control = next((entry for entry in runs if entry.spec.control), None)
    if control is None:
        return
    if run is None:
        console.print("The run itself is not in this workspace: without --control it goes there, to be compared with.")
        return
    if others := list(_differs(run, control)):
        console.print(f"Not comparable with the run in this workspace, which differs in {', '.join(others)}.")
        return
    console.print(beside(run, control))
    console.print("Where intervals of an iteration overlap, it is open whether the teacher's examples added anything.")


def _differs(run: FlywheelRun, control: FlywheelRun) -> Iterator[str]:
    pinned = {entry.status.curriculum.digest if entry.status.curriculum else None for entry in (run, control)}
    if len(pinned) > 1 or None in pinned:
        yield "the revision of the Curriculum"
    yield from (f"spec.{field}" for field in _SAME if getattr(run.spec, field) != getattr(control.spec, field))


def beside(run: FlywheelRun, control: FlywheelRun) -> Table:
    """Validation of both, for each iteration that both have finished."""
    table = Table(title="Validation, with the teacher's examples and with seed items alone", title_justify="left")
    for column in ("Iteration", "Run", "(interval)", "Examples", "Control", "(interval)", "Examples"):
        table.add_column(column)
    controls = {entry.number: entry for entry in control.status.history}
    for one in run.status.history:
        if (other := controls.get(one.number)) is not None:
            table.add_row(str(one.number), *_cells(one), *_cells(other))
    return table


def _cells(iteration: Iteration) -> tuple[str, str, str]:
    found = iteration.validation
    accuracy, interval = (found.accuracy, interval_of(found)) if found is not None else ("", "")
    return accuracy, interval, str(iteration.training_items or "")
