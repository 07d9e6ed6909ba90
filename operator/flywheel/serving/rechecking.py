"""Which pods have not shown yet that they answer as what serves does, and what asking them showed. Pure.

A pod that joined, or came back, loads what the disk names, by its digest; that it answers as measured only the probes
show. They are asked under the name that clients ask.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from flywheel.api.adapterdeployment import AdapterDeploymentStatus
from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Attempt
from flywheel.api.result import VerifyFigures
from flywheel.loop.state import State
from flywheel.serving.calls import ServingPodView
from flywheel.serving.ending import AT_ONCE_SECONDS, serving_state
from flywheel.serving.observed import DeploymentObserved, DeploymentPlan
from flywheel.serving.status import settled, with_pods

# A pod's own process, image or disk has to be mended.
ASK_AGAIN_SECONDS = 300.0
_MOST_AT_ONCE = 32


def unasked(observed: DeploymentObserved, status: AdapterDeploymentStatus) -> list[ServingPodView]:
    """Pods that serve it and were not asked, or did not answer as measured; some of them where they are many."""
    asked = {pod.name for pod in status.pods if pod.verified}
    return [view for view in observed.ready_pods if view.revision and view.endpoint.pod not in asked][:_MOST_AT_ONCE]


def asked_again(
    observed: DeploymentObserved, status: AdapterDeploymentStatus, figures: VerifyFigures, now: datetime
) -> DeploymentPlan:
    """What the probes showed. A pod that answers otherwise is said, and asked again later."""
    enough = observed.deployment.spec.verification.agreement * figures.probes
    counts = {
        view.endpoint.pod: figures.agreed[view.endpoint.address]
        for view in observed.ready_pods
        if view.endpoint.address in figures.agreed
    }
    good = frozenset(pod for pod, count in counts.items() if count >= enough)
    status = with_pods(observed, status, now, verified=good)
    if not (bad := sorted(counts.keys() - good)):
        status = status.model_copy(update={"step": None, "attempt": None})
        return settled(observed, status, serving_state(status), now, requeue_after=AT_ONCE_SECONDS)
    words = (
        f"pod {bad[0]} says that it serves this and answered {counts[bad[0]]} of {figures.probes} probes as measured:"
        " see its log, and delete it"
    )
    retry_at = now + timedelta(seconds=ASK_AGAIN_SECONDS)
    attempt = Attempt(waits=1, retry_at=retry_at, reason=Reason.VERIFICATION_FAILED.value, message=words)
    status = status.model_copy(update={"rollouts": status.rollouts + 1, "attempt": attempt})
    state = State("blocked", Reason.VERIFICATION_FAILED, words)
    return settled(observed, status, state, now, requeue_after=ASK_AGAIN_SECONDS)
