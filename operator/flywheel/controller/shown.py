"""Shows in metrics what the cache says of an object after each look at it: what the API server has, whoever wrote it.

Must not decide anything; a deleted object's series go with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import Condition
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.controller import metrics_deployment, metrics_run
from flywheel.controller.cache import Cache
from flywheel.controller.fields import entries
from flywheel.controller.metrics import Metrics
from flywheel.controller.object_series import Family, Sample, conditions_of
from flywheel.controller.observe import InvalidResourceError, parse
from flywheel.controller.resources import DEPLOYMENT, RUN


class Shown:
    """One object is looked at by one worker at a time."""

    def __init__(self, cache: Cache, metrics: Metrics) -> None:
        self._cache, self._metrics = cache, metrics
        self._before: dict[tuple[str, str], FlywheelRunStatus] = {}

    def look(self, kind: str, namespace: str, name: str) -> None:
        """Show the object as it is now, or nothing of it."""
        if kind == RUN.kind:
            self._run(namespace, name)
        if kind == DEPLOYMENT.kind:
            self._deployment(namespace, name)

    def _run(self, namespace: str, name: str) -> None:
        entry = self._cache.get(RUN, namespace, name)
        if entry is None:
            self._metrics.runs.forget(namespace, name)
            self._before.pop((namespace, name), None)
            return
        try:
            run = parse(FlywheelRun, entry.value)
        except InvalidResourceError:
            self._metrics.runs.show(namespace, name, _conditions(metrics_run.CONDITION, entry.value))
            return
        self._metrics.runs.show(namespace, name, metrics_run.run_samples(run.spec, run.status))
        before = self._before.get((namespace, name))
        if before is not None and (ended := step_ended(before, run.status)) is not None:
            step, seconds = ended
            self._metrics.steps.labels(step).observe(seconds)
        self._before[namespace, name] = run.status

    def _deployment(self, namespace: str, name: str) -> None:
        entry = self._cache.get(DEPLOYMENT, namespace, name)
        if entry is None:
            self._metrics.deployments.forget(namespace, name)
            return
        try:
            status = parse(AdapterDeployment, entry.value).status
        except InvalidResourceError:
            self._metrics.deployments.show(namespace, name, _conditions(metrics_deployment.CONDITION, entry.value))
            return
        self._metrics.deployments.show(namespace, name, metrics_deployment.deployment_samples(status))


def step_ended(before: FlywheelRunStatus, now: FlywheelRunStatus) -> tuple[str, int] | None:
    """The step whose pod was counted between two looks, and how long it ran."""
    seconds = now.usage.pod_seconds - before.usage.pod_seconds
    counted = before.pod if before.pod is not None and not before.pod.counted else now.pod
    return (counted.step, seconds) if counted is not None and seconds > 0 else None


def _conditions(family: Family, raw: dict[str, Any]) -> Iterator[Sample]:
    """Of an object that does not fit its type: Stalled says so, and an alert must see it."""
    for entry in entries(raw, "status", "conditions"):
        with suppress(ValidationError):
            yield from conditions_of(family, [Condition.model_validate(entry)])
