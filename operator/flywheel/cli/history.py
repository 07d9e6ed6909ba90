"""`flywheel history NAME`: a run's iterations, as its status has them."""

from __future__ import annotations

import typer

from flywheel.cli.change import Run
from flywheel.cli.cluster import connect
from flywheel.cli.live import iteration_table
from flywheel.cli.naming import RUNS, find
from flywheel.cli.options import Context, Format, Kubeconfig, Namespace, Output
from flywheel.cli.printing import print_data, terminal


def history(
    name: Run,
    output: Format = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the iterations of a run."""
    status = find(connect(namespace, context, kubeconfig), name, [RUNS]).item.status
    if output is not Output.TEXT:
        print_data([entry.to_json_object() for entry in status.history], output)
        return
    terminal().print(iteration_table(status))
    if status.history and (first := status.history[0].number) > 1:
        typer.echo(f"Iterations 1 to {first - 1} are no longer in status; the workspace has their manifests.")
