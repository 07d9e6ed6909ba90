"""`flywheel preview FOLDER|NAME`: the prompts and the data that the teacher will be shown, before a token is spent."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.cli.cluster import connect
from flywheel.cli.errors import CommandError
from flywheel.cli.naming import CURRICULA, RUNS, find
from flywheel.cli.options import Context, Format, Kubeconfig, Namespace, Output
from flywheel.cli.printing import print_data, terminal
from flywheel.local.manifests import read_manifests, require_reached
from flywheel.local.preparing import prepared
from flywheel.local.previewing import Preview
from flywheel.local.previewing import preview as previewed
from flywheel.local.run import local_metadata
from flywheel.workspace.store import Workspace


def preview(
    what: Annotated[
        str, typer.Argument(help="Folder with a Curriculum, a FlywheelRun and their data; or the name of a run.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="With a run's name: folder where the paths of its sources lie.")
    ] = None,
    iteration: Annotated[int, typer.Option(min=1, help="Of this iteration; from 2 on with made-up feedback.")] = 1,
    output: Format = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the prompts and the data.

    Renders the prompts of an iteration and shows the pools, without asking anybody.
    """
    if Path(what).is_dir():
        folder = Path(what)
        curriculum, run = read_manifests(folder)
    elif data is not None:
        folder = data
        cluster = connect(namespace, context, kubeconfig)
        run = find(cluster, what, [RUNS]).item
        curriculum = find(cluster, run.spec.curriculum_ref.name, [CURRICULA]).item
        require_reached(curriculum, folder)
    else:
        raise CommandError(
            f"error: {what} is no folder; for a run in the cluster, whose data is out of reach from here, give --data"
            " with a folder that has its sources' files"
        )
    found = _preview(curriculum, run, folder, iteration)
    if output is Output.TEXT:
        print_preview(terminal(), found)
    else:
        print_data(found.to_json_object(), output)


def _preview(curriculum: Curriculum, run: FlywheelRun, folder: Path, iteration: int) -> Preview:
    fresh = Curriculum(metadata=local_metadata(curriculum.metadata), spec=curriculum.spec)
    with TemporaryDirectory() as scratch:
        return previewed(prepared(fresh, folder, Path(scratch)), run, Workspace(scratch), iteration)


def print_preview(console: Console, found: Preview) -> None:
    """Pools, samples, then each prompt as it would be sent."""
    table = Table(title="Pools", title_justify="left")
    for column in ("Pool", "Items", "By label"):
        table.add_column(column)
    for pool in found.pools:
        table.add_row(pool.name, str(pool.items), ", ".join(f"{label} {count}" for label, count in pool.labels.items()))
    console.print(table)
    for pool in found.pools:
        for sample in pool.samples:
            console.print(f"Sample of {pool.name}:")
            console.print_json(data=sample)
    for reason, lines in found.rejected.items():
        console.print(f"Left out: {lines} lines, {reason}", highlight=False)
    for kind, count in found.redacted.items():
        console.print(f"Replaced in these prompts: {count} {kind}", highlight=False)
    for prompt in found.prompts:
        calls = f", {prompt.calls} such calls" if prompt.calls is not None else ""
        console.rule(f"{prompt.step}: {prompt.purpose}{calls} ({len(prompt.text.encode()):,} bytes)")
        console.print(prompt.text, highlight=False, markup=False, soft_wrap=True)
