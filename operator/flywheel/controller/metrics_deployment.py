"""What is shown of an AdapterDeployment: its status as series. A pure function; the look at it calls it."""

from __future__ import annotations

from collections.abc import Iterator

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, Taken
from flywheel.controller.object_series import Family, Sample, conditions_of, figure, timestamp

_REVISION = ("digest", "run", "iteration")

CONDITION = Family(
    "flywheel_deployment_condition", "1 for each condition, with its status and reason.", ("type", "status", "reason")
)
SERVING = Family("flywheel_deployment_serving_info", "1 for the adapter that answers under the stable name.", _REVISION)
SERVING_SINCE = Family("flywheel_deployment_serving_since_timestamp_seconds", "Since when that adapter serves.")
WAITING = Family(
    "flywheel_deployment_waiting_info", "1 for the candidate that waits for spec.approvedDigest.", _REVISION
)
ROLLOUT = Family("flywheel_deployment_rollout_info", "1 for the candidate being rolled out.", _REVISION)
ROLLOUTS = Family("flywheel_deployment_rollouts_total", "Rollouts begun.")
REJECTED = Family(
    "flywheel_deployment_rejected_timestamp_seconds", "When the newest candidate that was rejected was rejected."
)
PODS = Family(
    "flywheel_deployment_pods",
    "Ready serving pods: verified answer with the serving adapter as it was measured, the others are unverified.",
    ("state",),
)

DEPLOYMENT_FAMILIES = tuple(value for value in list(globals().values()) if isinstance(value, Family))


def deployment_samples(status: AdapterDeploymentStatus) -> Iterator[Sample]:
    """All series of one AdapterDeployment."""
    yield from conditions_of(CONDITION, status.conditions)
    yield from _revision(SERVING, status.serving)
    yield from timestamp(SERVING_SINCE, status.serving.since if status.serving is not None else None)
    yield from _revision(WAITING, status.waiting)
    yield from _revision(ROLLOUT, status.rollout)
    yield from figure(ROLLOUTS, status.rollouts)
    rejected = [entry.since for entry in status.rejected if entry.since is not None]
    yield from timestamp(REJECTED, max(rejected, default=None))
    wanted = status.serving.digest if status.serving is not None else None
    verified = sum(pod.verified and pod.revision == wanted for pod in status.pods)
    yield from figure(PODS, verified, "verified")
    yield from figure(PODS, len(status.pods) - verified, "unverified")


def _revision(family: Family, revision: Taken | None) -> Iterator[Sample]:
    if revision is not None:
        yield from figure(family, 1, revision.digest, revision.run, str(revision.iteration))
