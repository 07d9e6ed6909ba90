"""A run as a table that grows: iteration by iteration, with the running step's newest log line. Same for both ways."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flywheel.api.conditions import READY
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration, Measured, TestReport


class LiveRun:
    """Shows a status each time it changes: in place on a terminal, line by line in a log."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console, self._live = console, live
        self._said = ""

    def show(self, status: FlywheelRunStatus, progress: str) -> None:
        """Show the status and the running step's progress."""
        if self._live is not None:
            self._live.update(Group(iteration_table(status), Text(now_line(status, progress))))
            return
        line = now_line(status, "")
        if line != self._said:
            self._console.print(line, highlight=False)
            self._said = line


@contextmanager
def live_run(console: Console) -> Generator[LiveRun]:
    """A live table where the terminal can redraw, plain lines elsewhere."""
    if not console.is_terminal:
        yield LiveRun(console, None)
        return
    with Live(console=console, refresh_per_second=2) as live:
        yield LiveRun(console, live)


def now_line(status: FlywheelRunStatus, progress: str) -> str:
    """Where the run is and why, in a line."""
    ready = next((entry for entry in status.conditions if entry.type == READY), None)
    reason = f"{ready.reason}: {ready.message}" if ready is not None else "waiting for the operator"
    where = f"iteration {status.iteration} {status.step or ''}".rstrip()
    return f"{where} | {reason}" + (f" | {progress}" if progress else "")


def iteration_table(status: FlywheelRunStatus) -> Table:
    """One row per iteration; the one at work last."""
    table = Table(title="Flywheel run", title_justify="left")
    for column in (
        "Iteration",
        "Step",
        "Proficiency",
        "Exam",
        "Validation",
        "(interval)",
        "Examples",
        "Loss",
        "Adapter",
    ):
        table.add_column(column)
    for arm in status.baseline:
        table.add_row("0", f"untrained: {arm.name}", "", "", arm.accuracy, interval_of(arm), "", "", "")
    rows = [*status.history]
    if status.current is not None and status.current.number and all(r.number != status.current.number for r in rows):
        rows.append(status.current)
    for row in rows:
        step = status.step if status.current is not None and row.number == status.current.number else "done"
        table.add_row(*_cells(row, step or "done", status))
    return table


def _cells(row: Iteration, step: str, status: FlywheelRunStatus) -> tuple[str, ...]:
    marks = [
        "best" if status.best is not None and status.best.iteration == row.number else "",
        "candidate" if status.candidate is not None and status.candidate.iteration == row.number else "",
    ]
    return (
        str(row.number),
        step,
        str(row.proficiency or ""),
        row.exam_accuracy or "",
        row.validation.accuracy if row.validation is not None else "",
        interval_of(row.validation) if row.validation is not None else "",
        str(row.training_items or ""),
        row.loss or "",
        " ".join(mark for mark in marks if mark),
    )


def interval_of(measured: Measured) -> str:
    """A measured share's interval, as the tables show it."""
    return f"{measured.low} to {measured.high}"


def print_summary(console: Console, run: FlywheelRun) -> None:
    """What the run came to: why it stopped, and the candidate against every untrained arm on the test pool."""
    status = run.status
    console.print(iteration_table(status))
    ready = next((entry for entry in status.conditions if entry.type == READY), None)
    if ready is not None:
        console.print(f"Stopped: {ready.reason}: {ready.message}", highlight=False)
    usage = status.usage
    console.print(f"Teacher: {usage.teacher_calls} calls, {usage.teacher_tokens} tokens", highlight=False)
    test = status.test
    if test is None:
        why = "This is a control" if run.spec.control else "No adapter was proven better on validation"
        console.print(f"{why}, so the test pool was not opened.")
        return
    verdict = "passed the gate" if test.passed else "did not pass the gate"
    table = Table(title=f"Test pool, {test.items} items: the adapter of iteration {test.iteration} {verdict}")
    for column in ("Arm", "Balanced accuracy", "Interval", "Adapter minus arm", "Interval of the difference"):
        table.add_column(column)
    table.add_row("adapter", test.accuracy, interval_of(test), "", "")
    gains = {gain.versus: gain for gain in test.gains}
    for arm in test.arms:
        gain = gains.get(arm.name)
        difference = (gain.difference, f"{gain.low} to {gain.high}") if gain is not None else ("", "")
        table.add_row(arm.name, arm.accuracy, interval_of(arm), *difference)
    for fall in test.blanked:
        table.add_row(f"{fall.versus}, a sample", "", "", fall.difference, f"{fall.low} to {fall.high}")
    console.print(table)
    if test.preferences:
        console.print(_preference_table(test))


def _preference_table(test: TestReport) -> Table:
    table = Table(title="Whose texts the judge prefers, each pair in both orders")
    columns = ("Against", "Items", "Wins", "Losses", "Flips", "Preference difference", "Interval", "At equal length")
    for column in columns:
        table.add_column(column)
    for entry in test.preferences:
        counts = (str(count) for count in (entry.items, entry.wins, entry.losses, entry.flips))
        interval = f"{entry.low} to {entry.high}"
        table.add_row(entry.versus, *counts, entry.difference, interval, entry.rate or "")
    return table
