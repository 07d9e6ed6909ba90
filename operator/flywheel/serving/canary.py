"""Some pods first: which of them, for how long, and whether they do worse than the others. Pure.

What counts is what the servers counted of the stable model since the canary began. Thresholds are wide on purpose: the
adapter was verified already, and a canary that stops good ones is soon switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, Canary, CanaryRecord, PodCount, Rollout
from flywheel.api.model import duration_seconds
from flywheel.serving.calls import ServingPodView
from flywheel.serving.observed import DeploymentObserved

_FEWEST_FAILURES = 5
_SHARE_MORE = 0.02  # of the requests, failed at the canary beyond the others' share
_FEWEST_ANSWERS = 50
_TIMES_SLOWER = 2.0


def canary_of(observed: DeploymentObserved, status: AdapterDeploymentStatus, rollout: Rollout) -> Canary | None:
    """The canary that a rollout makes: none for the first adapter, nor for what served before."""
    if status.serving is None or rollout.train is None:
        return None
    return observed.deployment.spec.rollout.canary


def first_pods(
    canary: Canary, ready: Sequence[ServingPodView], behind: Sequence[ServingPodView]
) -> tuple[ServingPodView, ...]:
    """The pods to switch before the pause, which are not switched yet."""
    missing = canary.pods - (len(ready) - len(behind))
    return tuple(behind[: max(missing, 0)])


def begun(ready: Sequence[ServingPodView], now: datetime) -> CanaryRecord:
    """Where the servers' counts stand when the pause begins."""
    return CanaryRecord(since=now, pods=[view.count for view in ready[:256] if view.count is not None])


def pause_ends(canary: Canary, record: CanaryRecord) -> datetime:
    """When the others follow."""
    return record.since + timedelta(seconds=duration_seconds(canary.pause))


def worse(record: CanaryRecord, canaries: Sequence[ServingPodView], others: Sequence[ServingPodView]) -> str | None:
    """What the canaries do worse than the others, in words; None where nothing is shown."""
    before = {count.name: count for count in record.pods}
    ours, theirs = _since(before, canaries), _since(before, others)
    asked, asked_there = ours.answered + ours.failed, theirs.answered + theirs.failed
    if ours.failed >= _FEWEST_FAILURES and ours.failed / asked > theirs.failed / max(asked_there, 1) + _SHARE_MORE:
        return (
            f"as a canary it failed {ours.failed} of {asked} requests, what serves failed {theirs.failed} of"
            f" {asked_there} meanwhile"
        )
    if min(ours.answered, theirs.answered) < _FEWEST_ANSWERS:
        return None
    mean, mean_there = ours.microseconds / ours.answered, theirs.microseconds / theirs.answered
    if mean > _TIMES_SLOWER * mean_there:
        words = f"as a canary it took {mean / 1000:.0f} ms a request, what serves took {mean_there / 1000:.0f} ms"
        return f"{words} meanwhile"
    return None


def _since(before: dict[str, PodCount], views: Iterable[ServingPodView]) -> PodCount:
    """The sum of what was counted since; a server that began again began at zero."""
    total = PodCount(name="", answered=0, failed=0, microseconds=0)
    for view in views:
        if (now := view.count) is None:
            continue
        then = before.get(now.name)
        if then is None or then.answered > now.answered or then.failed > now.failed:
            then = PodCount(name=now.name, answered=0, failed=0, microseconds=0)
        total = PodCount(
            name="",
            answered=total.answered + now.answered - then.answered,
            failed=total.failed + now.failed - then.failed,
            microseconds=total.microseconds + max(now.microseconds - then.microseconds, 0),
        )
    return total
