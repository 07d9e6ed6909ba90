"""Runs and AdapterDeployments, a line each: for a table, and for programs. Figures in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import READY, Condition
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import Candidate, Measured
from flywheel.api.model import Open
from flywheel.cli.live import interval_of
from flywheel.serving.names import short


class RunLine(Open):
    """One run."""

    name: str
    iteration: int
    step: str | None
    progress: str | None
    proficiency: int | None
    validation: Measured | None
    best_iteration: int | None
    candidate: Candidate | None
    ready: str
    reason: str
    message: str


class DeploymentLine(Open):
    """One AdapterDeployment."""

    name: str
    serving: str | None
    run: str | None
    iteration: int | None
    rolling_out: str | None
    waiting: str | None
    pods: int
    verified_pods: int
    ready: str
    reason: str
    message: str


def run_line(run: FlywheelRun) -> RunLine:
    """A run's line."""
    status = run.status
    return RunLine(
        name=run.metadata.name,
        iteration=status.iteration,
        step=status.step,
        progress=status.progress.line if status.progress is not None else None,
        proficiency=status.proficiency,
        validation=status.validation,
        best_iteration=status.best.iteration if status.best is not None else None,
        candidate=status.candidate,
        **_ready(status.conditions),
    )


def deployment_line(deployment: AdapterDeployment) -> DeploymentLine:
    """An AdapterDeployment's line."""
    status = deployment.status
    serving = status.serving
    return DeploymentLine(
        name=deployment.metadata.name,
        serving=serving.digest if serving is not None else None,
        run=serving.run if serving is not None else None,
        iteration=serving.iteration if serving is not None else None,
        rolling_out=status.rollout.digest if status.rollout is not None else None,
        waiting=status.waiting.digest if status.waiting is not None else None,
        pods=len(status.pods),
        verified_pods=sum(
            pod.verified and serving is not None and pod.revision == serving.digest for pod in status.pods
        ),
        **_ready(status.conditions),
    )


def _ready(conditions: Sequence[Condition]) -> dict[str, str]:
    found = next((entry for entry in conditions if entry.type == READY), None)
    if found is None:
        return {"ready": "Unknown", "reason": "", "message": "the operator has not looked at it yet"}
    return {"ready": found.status, "reason": found.reason, "message": found.message}


def tables(runs: Sequence[FlywheelRun], deployments: Sequence[AdapterDeployment]) -> Group:
    """Both tables; an empty one is left out."""
    shown = ([_run_table(runs)] if runs else []) + ([deployment_table(deployments)] if deployments else [])
    return Group(*shown) if shown else Group("No FlywheelRun and no AdapterDeployment in this namespace.")


def _run_table(runs: Sequence[FlywheelRun]) -> Table:
    table = Table(title="Runs", title_justify="left")
    for column in (
        "Name",
        "Iteration",
        "Step",
        "Proficiency",
        "Validation",
        "(interval)",
        "Best",
        "Candidate",
        "Reason",
    ):
        table.add_column(column)
    for line in map(run_line, runs):
        measured = line.validation
        table.add_row(
            line.name,
            str(line.iteration),
            line.step or "",
            str(line.proficiency or ""),
            measured.accuracy if measured is not None else "",
            interval_of(measured) if measured is not None else "",
            str(line.best_iteration or ""),
            str(line.candidate.iteration) if line.candidate is not None else "",
            line.reason,
        )
    return table


def deployment_table(deployments: Sequence[AdapterDeployment]) -> Table:
    """What serves where."""
    table = Table(title="AdapterDeployments", title_justify="left")
    for column in ("Name", "Serves", "Run", "Iteration", "Pods", "On its way", "Waits for approval", "Reason"):
        table.add_column(column)
    for line in map(deployment_line, deployments):
        table.add_row(
            line.name,
            _short(line.serving),
            line.run or "",
            str(line.iteration or ""),
            f"{line.verified_pods} of {line.pods}" if line.pods else "",
            _short(line.rolling_out),
            _short(line.waiting),
            line.reason,
        )
    return table


def pod_table(deployment: AdapterDeployment) -> Table:
    """The serving pods of one AdapterDeployment."""
    table = Table(title="Serving pods", title_justify="left")
    for column in ("Pod", "Revision", "Verified", "Since"):
        table.add_column(column)
    for pod in deployment.status.pods:
        since = pod.since.isoformat() if pod.since is not None else ""
        table.add_row(pod.name, _short(pod.revision), "yes" if pod.verified else "no", since)
    return table


def _short(digest: str | None) -> str:
    return short(digest) if digest else ""
