"""`flywheel report`: a run as one HTML page in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flywheel.cli.cluster import connect
from flywheel.cli.naming import RUNS, find
from flywheel.cli.options import Context, Kubeconfig, Namespace
from flywheel.cli.report_pod import page_by_pod
from flywheel.local.control import local_runs
from flywheel.report.page import page
from flywheel.report.resources import Resources, read_resources
from flywheel.report.run import find_run
from flywheel.workspace.store import Workspace


def report(
    what: Annotated[
        str,
        typer.Argument(help="Name of a run in the cluster; or a workspace's folder, of a local run or a volume."),
    ],
    name: Annotated[
        str | None, typer.Argument(help="With a folder: namespace/name of the run, where there are several.")
    ] = None,
    resources: Annotated[
        Path | None,
        typer.Option(help="With a folder: one with run, Curriculum and AdapterDeployment, of kubectl get -o yaml."),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="In the cluster: the operator's image, where no pod of the run is left.")
    ] = None,
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write a run as one HTML page.

    What was measured, proven, taught, paid and rolled out. In the cluster a pod reads the workspace, and is deleted.
    """
    if Path(what).is_dir():
        write_report(Path(what), name, resources, output)
    else:
        cluster = connect(namespace, context, kubeconfig)
        output.write_bytes(page_by_pod(cluster, find(cluster, what, [RUNS]), image))
    typer.echo(f"Report: {output}")


def write_report(workspace: Path, name: str | None, resources: Path | None, output: Path) -> None:
    """The page in a file. Raises BadResourcesError, NoRunError, WrongInputError, OSError."""
    given = read_resources(resources) if resources is not None else _local(workspace)
    output.write_bytes(page(find_run(workspace, name, given)))


def _local(workspace: Path) -> Resources:
    """Those that a local run keeps beside its workspace."""
    known = local_runs(Workspace(workspace))
    return Resources([curriculum for curriculum, _ in known], [run for _, run in known])
