"""`flywheel compare A B`: two runs side by side."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flywheel.api.flywheelrun_status import Measured
from flywheel.cli.cluster import connect
from flywheel.cli.comparing import Comparison
from flywheel.cli.comparing import compare as compared
from flywheel.cli.live import interval_of
from flywheel.cli.naming import RUNS, find
from flywheel.cli.options import Context, Format, Kubeconfig, Namespace, Output
from flywheel.cli.printing import print_data, terminal


def compare(
    first: Annotated[str, typer.Argument(help="Name of a FlywheelRun.")],
    second: Annotated[str, typer.Argument(help="Name of another one.")],
    output: Format = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Set two runs side by side.

    Says where their intervals show no difference.
    """
    cluster = connect(namespace, context, kubeconfig)
    found = compared(*(find(cluster, name, [RUNS]).item for name in (first, second)))
    if output is Output.TEXT:
        print_comparison(terminal(), found)
    else:
        print_data(found.to_json_object(), output)


def print_comparison(console: Console, found: Comparison) -> None:
    """Settings that differ, figures, and what they do not show."""
    if found.settings:
        settings = Table(title="Settings that differ", title_justify="left")
        for column in ("Field", found.first, found.second):
            settings.add_column(column)
        for entry in found.settings:
            settings.add_row(
                entry.field, *("" if value is None else str(value) for value in (entry.first, entry.second))
            )
        console.print(settings)
    table = Table(title="Balanced accuracy, with its interval", title_justify="left")
    for column in ("", found.first, found.second, "Difference", "Second against first"):
        table.add_column(column)
    for row in found.rows:
        table.add_row(row.what, _cell(row.first), _cell(row.second), row.difference or "", row.verdict or "")
    console.print(table)
    for note in found.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def _cell(measured: Measured | None) -> str:
    return "" if measured is None else f"{measured.accuracy} ({interval_of(measured)})"
