"""`flywheel report`: a run as one HTML page in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flywheel.local.control import local_runs
from flywheel.report.page import page
from flywheel.report.resources import Resources, read_resources
from flywheel.report.run import find_run
from flywheel.workspace.store import Workspace


def report(
    workspace: Annotated[Path, typer.Argument(help="Folder of a workspace: of a local run, or a volume's.")],
    name: Annotated[str | None, typer.Argument(help="namespace/name of the run, where there are several.")] = None,
    resources: Annotated[
        Path | None,
        typer.Option(help="Folder with the run, its Curriculum and AdapterDeployment, of kubectl get -o yaml."),
    ] = None,
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
) -> None:
    """Write a run as one HTML page.

    What was measured, proven, taught, paid and rolled out.
    """
    write_report(workspace, name, resources, output)
    typer.echo(f"Report: {output}")


def write_report(workspace: Path, name: str | None, resources: Path | None, output: Path) -> None:
    """The page in a file. Raises BadResourcesError, NoRunError, WrongInputError, OSError."""
    given = read_resources(resources) if resources is not None else _local(workspace)
    output.write_bytes(page(find_run(workspace, name, given)))


def _local(workspace: Path) -> Resources:
    """Those that a local run keeps beside its workspace."""
    known = local_runs(Workspace(workspace))
    return Resources([curriculum for curriculum, _ in known], [run for _, run in known])
