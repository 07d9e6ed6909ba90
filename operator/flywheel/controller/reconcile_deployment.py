"""One look at an AdapterDeployment: observe pods and Jobs, decide, apply, then the calls to the serving pods.

Calls may take minutes; these reconciles have workers of their own.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.target import Target
from flywheel.controller.access import serving_access
from flywheel.controller.alias import observe_alias, write_alias
from flywheel.controller.apply import Tools, apply
from flywheel.controller.fields import entries, mapping, text
from flywheel.controller.invalid import stall
from flywheel.controller.observe import InvalidResourceError, job_views, parse, subject_of, unjudged
from flywheel.controller.resources import DEPLOYMENT, ENDPOINT_SLICE, RUN, SERVICE
from flywheel.controller.workqueue import NEVER
from flywheel.loop.accept import UnexpectedResultError
from flywheel.serving.access import OPEN, Access
from flywheel.serving.calls import CallFailure, Endpoint, ServingPodView
from flywheel.serving.drivers import look_at_all, look_seconds, perform, perform_seconds
from flywheel.serving.errors import ServingError
from flywheel.serving.observed import DeploymentObserved
from flywheel.serving.planner import decide_deployment
from flywheel.serving.triton_metrics import with_counts

_SERVICE_NAME = "kubernetes.io/service-name"


@dataclass
class Failures:
    """Calls that failed in the last look at each deployment; told once."""

    _by_uid: dict[str, tuple[CallFailure, ...]] = field(default_factory=dict[str, tuple[CallFailure, ...]])

    def take(self, uid: str) -> tuple[CallFailure, ...]:
        """What failed since the last look."""
        return self._by_uid.pop(uid, ())

    def keep(self, uid: str, failures: tuple[CallFailure, ...]) -> None:
        """For the next look."""
        if failures:
            self._by_uid[uid] = failures


def reconcile_deployment(tools: Tools, failures: Failures, namespace: str, name: str, now: datetime) -> float | None:
    """Seconds after which to look again, None, or NEVER. Raises StaleError, ApiError."""
    entry = tools.cache.get(DEPLOYMENT, namespace, name)
    if entry is None:
        return NEVER
    subject = subject_of(DEPLOYMENT, entry)
    try:
        deployment = parse(AdapterDeployment, entry.value)
    except InvalidResourceError as error:
        stall(tools, subject, entry.value, Reason.SPEC_INVALID, str(error), now)
        return None
    target, server = deployment.spec.target, deployment.spec.target.server
    endpoints = serving_endpoints(tools, namespace, server.service_ref.name, server.port)
    pods, access = _look(tools, deployment, endpoints or ())
    alias = observe_alias(tools, deployment)
    told, status = failures.take(entry.uid), deployment.status
    observed = DeploymentObserved(
        deployment=deployment,
        runs=_runs(tools, namespace, name),
        service_found=endpoints is not None,
        pods=pods,
        jobs=job_views(tools, entry, unjudged(status.step, status.rollouts, status.attempt)),
        failures=told,
        alias_taken=alias.taken,
        others=_others(tools, namespace, deployment),
    )
    try:
        plan = decide_deployment(observed, now)
    except UnexpectedResultError as error:
        words = f"{error}: is jobs.steps[].image the right image?"
        stall(tools, subject, entry.value, Reason.STEP_FAILED, words, now)
        return None
    try:
        again = apply(tools, subject, deployment.status, plan, now)
    except Exception:
        failures.keep(entry.uid, told)  # nobody has heard of them yet
        raise
    write_alias(tools, subject.owner, alias, plan.status)
    with tools.api.deadlines.within("calls to serving pods", perform_seconds(target, len(plan.calls))):
        failures.keep(entry.uid, perform(plan.calls, target, tools.guard, access))
    return again


def _look(
    tools: Tools, deployment: AdapterDeployment, endpoints: tuple[Endpoint, ...]
) -> tuple[tuple[ServingPodView, ...], Access]:
    """What the pods say, and how they were asked. Without what they want none is asked, and all views say why."""
    target = deployment.spec.target
    try:
        access = serving_access(tools, deployment)
    except ServingError as error:
        return tuple(ServingPodView(one, error=str(error), reason=error.reason) for one in endpoints), OPEN
    with tools.api.deadlines.within("looking at serving pods", look_seconds(target, len(endpoints))):
        pods = look_at_all(endpoints, target, tools.guard, access)
        if target.triton is not None and _watches_canary(deployment):
            pods = with_counts(pods, target.triton.metrics_port, target.model)
    return pods, access


def _watches_canary(deployment: AdapterDeployment) -> bool:
    rollout = deployment.status.rollout
    return deployment.spec.rollout.canary is not None and rollout is not None and rollout.committed


def _others(tools: Tools, namespace: str, deployment: AdapterDeployment) -> tuple[AdapterDeployment, ...]:
    """With the same model name; one that does not fit its type does nothing."""
    found: list[AdapterDeployment] = []
    for entry in tools.cache.all(DEPLOYMENT, namespace):
        names = {text(entry.value, "spec", "target", kind, "model") for kind in Target.model_fields}
        if entry.uid == deployment.metadata.uid or deployment.spec.target.model not in names:
            continue
        with suppress(InvalidResourceError):
            found.append(parse(AdapterDeployment, entry.value))
    return tuple(found)


def _runs(tools: Tools, namespace: str, name: str) -> tuple[FlywheelRun, ...]:
    """Runs that reference the deployment; one that does not fit its type offers nothing."""
    found: list[FlywheelRun] = []
    for entry in tools.cache.all(RUN, namespace):
        if text(entry.value, "spec", "deploymentRef", "name") != name:
            continue
        try:
            found.append(parse(FlywheelRun, entry.value))
        except InvalidResourceError:
            continue  # its own reconcile says so
    return tuple(found)


def serving_endpoints(tools: Tools, namespace: str, service: str, port: int) -> tuple[Endpoint, ...] | None:
    """Every pod behind the Service by its own address; None where there is no such Service."""
    if tools.api.get(SERVICE, namespace, service) is None:
        return None
    slices, _ = tools.api.list(ENDPOINT_SLICE, namespace, f"{_SERVICE_NAME}={service}")
    found: dict[str, Endpoint] = {}
    for part in slices:
        for entry in entries(part, "endpoints"):
            address = str(entry["addresses"][0])
            pod = text(entry, "targetRef", "name") or address
            ready = mapping(entry, "conditions").get("ready") is not False
            host = f"[{address}]" if part.get("addressType") == "IPv6" else address
            found[pod] = Endpoint(pod=pod, address=f"{host}:{port}", ready=ready)
    return tuple(found.values())
