"""`flywheel logs NAME`: the log of the running step's pod, else of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from flywheel.cli.cluster import connect
from flywheel.cli.errors import CommandError
from flywheel.cli.naming import CURRICULA, DEPLOYMENTS, RUNS, find
from flywheel.cli.options import Context, Kubeconfig, Namespace
from flywheel.controller.fields import mapping, text
from flywheel.controller.labels import ATTEMPT, ITERATION, STEP

Named = Annotated[
    str, typer.Argument(help="Name of a run, else of an AdapterDeployment or a Curriculum; or TYPE/NAME.")
]


def logs(
    name: Named,
    step: Annotated[
        str | None, typer.Option("--step", help="Of this step, such as train; the newest when absent.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the step writes.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the running or the last step's log."""
    cluster = connect(namespace, context, kubeconfig)
    item = find(cluster, name, [RUNS, DEPLOYMENTS, CURRICULA]).item
    pod = newest_pod(cluster.pods(item.metadata.uid), step)
    if pod is None:
        what = f"step {step}" if step else "a step"
        raise CommandError(
            f"error: no pod of {what} of {item.metadata.name} is there: none started, or its Job is gone;"
            f" see flywheel explain {name}"
        )
    marks = mapping(pod, "metadata", "labels")
    words = f"step {marks.get(STEP)}, iteration {marks.get(ITERATION)}, attempt {marks.get(ATTEMPT)}"
    typer.echo(f"# {words}: pod {pod['metadata']['name']} ({text(pod, 'status', 'phase')})", err=True)
    for piece in cluster.log(pod["metadata"]["name"], follow=follow):
        typer.echo(piece, nl=False)


def newest_pod(pods: Sequence[dict[str, Any]], step: str | None) -> dict[str, Any] | None:
    """A running one before others, and of these the newest."""
    of_step = [pod for pod in pods if step is None or text(pod, "metadata", "labels", STEP) == step]
    return max(
        of_step,
        key=lambda pod: (text(pod, "status", "phase") == "Running", text(pod, "metadata", "creationTimestamp")),
        default=None,
    )
