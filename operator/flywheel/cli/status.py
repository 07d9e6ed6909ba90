"""`flywheel status [NAME]`: runs and AdapterDeployments, as they are or as they go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import COMPLETED
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.cli.cluster import Cluster, connect
from flywheel.cli.errors import CommandError
from flywheel.cli.live import iteration_table, live_run, now_line, print_summary
from flywheel.cli.logs import newest_pod
from flywheel.cli.naming import DEPLOYMENTS, RUNS, find, read_all
from flywheel.cli.options import Context, Format, Kubeconfig, Namespace, Output
from flywheel.cli.overview import deployment_line, deployment_table, pod_table, run_line, tables
from flywheel.cli.printing import print_data, terminal
from flywheel.loop.decide import ended
from flywheel.loop.state import holds

POLL_SECONDS = 2.0
_PROGRESS = "progress "


def status(
    name: Annotated[
        str | None, typer.Argument(help="Name of a run or of an AdapterDeployment, or TYPE/NAME; all when absent.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends; exit code 1 unless it is Completed.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Print once, on a terminal too.")] = False,
    output: Format = Output.TEXT,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show runs and AdapterDeployments.

    Live on a terminal, once elsewhere.
    """
    cluster, console = connect(namespace, context, kubeconfig), terminal()
    live = output is Output.TEXT and not once and (follow or console.is_terminal)
    if name is None:
        _all(cluster, console, output, live)
        return
    item = find(cluster, name, [RUNS, DEPLOYMENTS]).item
    if output is not Output.TEXT:
        line = run_line(item) if isinstance(item, FlywheelRun) else deployment_line(item)
        print_data(line.to_json_object(), output)
    elif isinstance(item, AdapterDeployment):
        _show(console, live, lambda: _of_deployment(find(cluster, name, [DEPLOYMENTS]).item))
    elif live:
        _follow(cluster, console, item)
    else:
        console.print(iteration_table(item.status))
        progress = item.status.progress.line if item.status.progress is not None else ""
        console.print(now_line(item.status, progress), highlight=False, markup=False)


def _all(cluster: Cluster, console: Console, output: Output, live: bool) -> None:
    if output is not Output.TEXT:
        runs = [run_line(run).to_json_object() for run in read_all(cluster, RUNS)]
        deployments = [deployment_line(entry).to_json_object() for entry in read_all(cluster, DEPLOYMENTS)]
        print_data({"runs": runs, "deployments": deployments}, output)
        return
    _show(console, live, lambda: tables(read_all(cluster, RUNS), read_all(cluster, DEPLOYMENTS)))


def _show(console: Console, live: bool, look: Callable[[], RenderableType]) -> None:
    """Once, or again and again until interrupted."""
    if not live or not console.is_terminal:
        console.print(look())
        return
    with Live(look(), console=console, auto_refresh=False) as view:
        while True:
            time.sleep(POLL_SECONDS)
            view.update(look(), refresh=True)


def _of_deployment(deployment: AdapterDeployment) -> Group:
    line = deployment_line(deployment)
    return Group(deployment_table([deployment]), pod_table(deployment), escape(f"{line.reason}: {line.message}"))


def _follow(cluster: Cluster, console: Console, run: FlywheelRun) -> None:
    """Show the run until it ends, then sum it up."""
    with live_run(console) as view:
        while True:
            view.show(run.status, "" if ended(run.status) else _progress(cluster, run))
            if ended(run.status):
                break
            time.sleep(POLL_SECONDS)
            run = find(cluster, run.metadata.name, [RUNS]).item
    print_summary(console, run)
    if not holds(run.status.conditions, COMPLETED):
        raise typer.Exit(1)


def _progress(cluster: Cluster, run: FlywheelRun) -> str:
    """The newest progress line: of the running pod where one may read it, else as the operator last read it."""
    told = run.status.progress.line if run.status.progress is not None else ""
    try:
        pod = newest_pod(cluster.pods(run.metadata.uid), run.status.step)
        lines = [] if pod is None else cluster.log_tail(pod["metadata"]["name"], 5).splitlines()
    except CommandError:  # who may see runs may not see their logs; what really ails shows at the next turn
        return told
    found = [line for line in lines if _PROGRESS in line]
    return found[-1].partition(_PROGRESS)[2] if found else told
