"""`flywheel suspend|resume|stop RUN` and `approve|rollback|promote DEPLOYMENT`: print what to commit, or apply it."""

from __future__ import annotations

from typing import Annotated

import typer

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.cli.changing import (
    Spec,
    Turn,
    approved,
    fragment,
    kubectl_line,
    owner_of,
    promoted,
    refusal,
    rolled_back,
    turned,
)
from flywheel.cli.cluster import Cluster, connect
from flywheel.cli.errors import CommandError
from flywheel.cli.naming import DEPLOYMENTS, RUNS, Found, find, read_all
from flywheel.cli.options import Context, Kubeconfig, Namespace

Run = Annotated[str, typer.Argument(help="Name of the FlywheelRun.")]
Deployment = Annotated[str, typer.Argument(help="Name of the AdapterDeployment.")]
Apply = Annotated[bool, typer.Option("--apply", help="Change the object in the cluster; without it, only print.")]
Force = Annotated[bool, typer.Option("--force", help="Apply even where Argo CD, Flux or Helm keeps the object.")]


def suspend(
    name: Run,
    apply: Apply = False,
    force: Force = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop a run's Job until it is resumed.

    No attempt is counted. Prints what to commit; --apply changes the cluster.
    """
    _turn(connect(namespace, context, kubeconfig), name, "suspend", apply, force)


def resume(
    name: Run,
    apply: Apply = False,
    force: Force = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a suspended run go on.

    Prints what to commit; --apply changes the cluster.
    """
    _turn(connect(namespace, context, kubeconfig), name, "resume", apply, force)


def stop(
    name: Run,
    apply: Apply = False,
    force: Force = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """End a run; its best adapter stays.

    It cannot be resumed. Prints what to commit; --apply changes the cluster.
    """
    _turn(connect(namespace, context, kubeconfig), name, "stop", apply, force)


def approve(
    name: Deployment,
    digest: Annotated[str | None, typer.Argument(help="Digest; the candidate in status.waiting when absent.")] = None,
    apply: Apply = False,
    force: Force = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a candidate that waits be rolled out.

    Prints what to commit; --apply changes the cluster.
    """
    cluster = connect(namespace, context, kubeconfig)
    found = find(cluster, name, [DEPLOYMENTS])
    _change(cluster, found, approved(found.item, digest), apply, force)


def rollback(
    name: Deployment,
    to: Annotated[str | None, typer.Option("--to", help="Digest or Base; what served before when absent.")] = None,
    apply: Apply = False,
    force: Force = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Pin what served before.

    Candidates wait until the pin is removed (promote). Prints what to commit; --apply changes the cluster.
    """
    cluster = connect(namespace, context, kubeconfig)
    found = find(cluster, name, [DEPLOYMENTS])
    _change(cluster, found, rolled_back(found.item, to), apply, force)


def promote(
    name: Deployment,
    apply: Apply = False,
    force: Force = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let the newest candidate in.

    Removes the pin, and approves where approval is Manual. Prints what to commit; --apply changes the cluster.
    """
    cluster = connect(namespace, context, kubeconfig)
    found = find(cluster, name, [DEPLOYMENTS])
    _change(cluster, found, promoted(found.item, read_all(cluster, RUNS)), apply, force)


def _turn(cluster: Cluster, name: str, turn: Turn, apply: bool, force: bool) -> None:
    found = find(cluster, name, [RUNS])
    _change(cluster, found, turned(found.item, turn), apply, force)


def _change(
    cluster: Cluster, found: Found[FlywheelRun] | Found[AdapterDeployment], patch: Spec, apply: bool, force: bool
) -> None:
    """Print the patch, or apply it: past its keeper only when forced to."""
    kind, metadata = found.resource, found.item.metadata
    owner = owner_of(found.raw["metadata"])
    commit = fragment(kind.kind, metadata, patch)
    if not apply:
        typer.echo(commit)
        kept = f", past {owner.name}" if owner is not None else ""
        typer.echo(f"# or{kept}, by hand:\n# {kubectl_line(kind.plural, metadata, patch)}")
        typer.echo("Nothing was changed: --apply changes it.", err=True)
        return
    if owner is not None and not force:
        typer.echo(commit)
        raise CommandError(refusal(kind.kind, metadata.name, owner))
    cluster.patch(kind, metadata.name, {"spec": patch})
    typer.echo(f"{kind.kind.lower()}.{kind.group}/{metadata.name} patched")
    if owner is not None:
        typer.echo(f"warning: {owner.name} keeps it and may undo this; commit it, too:\n{commit}", err=True)
