"""What became of the run's adapters: published, serving, before, rejected."""

from __future__ import annotations

from flywheel.api.adapterdeployment import AdapterDeployment, Taken
from flywheel.api.result import TrainFigures
from flywheel.loop.naming import adapter_folder
from flywheel.report.blocks import Cell, Table, count, mono, text
from flywheel.report.run import MissingError, Run


def _deployment(run: Run) -> AdapterDeployment:
    if run.resource is None:
        raise MissingError("the AdapterDeployment was not given: see --resources")
    if run.resource.spec.deployment_ref is None:
        raise MissingError("the run names no AdapterDeployment (spec.deploymentRef): nothing was rolled out")
    if run.deployment is None:
        name = run.resource.spec.deployment_ref.name
        raise MissingError(f"AdapterDeployment {name} was not given: its rollouts are unknown")
    return run.deployment


def rollouts(run: Run) -> Table:
    """Adapters of the deployment, of this run and of others."""
    deployment = _deployment(run)
    status = deployment.status
    known: list[tuple[str, Taken | None]] = [
        ("serving", status.serving),
        ("being rolled out", status.rollout),
        ("waiting for approval", status.waiting),
        *(("served before", one) for one in status.previous),
        *(("rejected", one) for one in status.rejected),
    ]
    rows = [_row(run, words, one) for words, one in known if one is not None]
    if not rows:
        raise MissingError(f"AdapterDeployment {deployment.metadata.name} has served nothing yet")
    note = f"{status.rollouts} rollouts begun so far. AdapterDeployment {deployment.metadata.name}."
    return Table("Rollout history", ("State", "Adapter", "Run", "Iteration", "Since"), rows, note)


def _row(run: Run, words: str, one: Taken) -> list[Cell]:
    since = getattr(one, "since", None)
    name = f"{one.run} (this run)" if run.resource is not None and one.run == run.resource.metadata.name else one.run
    return [
        text(words),
        mono(one.digest[:19]),
        text(name),
        count(one.iteration),
        text("" if since is None else f"{since:%Y-%m-%d %H:%M:%S %Z}"),
    ]


def deployment_conditions(run: Run) -> Table:
    """What the operator says of the deployment."""
    rows = [
        [text(one.type), text(one.status), text(one.reason), text(one.message)]
        for one in _deployment(run).status.conditions
    ]
    return Table("Conditions of the AdapterDeployment", ("Condition", "Status", "Reason", "Message"), rows)


def pods(run: Run) -> Table:
    """What each serving pod answers with."""
    found = _deployment(run).status.pods
    if not found:
        raise MissingError("no serving pod is known")
    rows = [[text(pod.name), mono(pod.revision[:19]), text("yes" if pod.verified else "no")] for pod in found]
    return Table("Serving pods", ("Pod", "Adapter", "Verified"), rows)


def adapters(run: Run) -> Table:
    """Every adapter that was trained, and whether it was published."""
    namespace = run.home.split("/")[1]
    rows = [
        [
            count(entry.iteration),
            mono(figures.adapter),
            text("yes" if run.workspace.exists(adapter_folder(namespace, figures.adapter)) else "no"),
        ]
        for entry in run.steps("train")
        if isinstance(figures := entry.manifest.figures, TrainFigures)
    ]
    return Table("Adapters", ("Iteration", "Digest", "Published on the workspace"), rows)
