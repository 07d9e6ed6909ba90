"""What the decision about an AdapterDeployment sees, and what it asks for. Pure types."""

from __future__ import annotations

from dataclasses import dataclass

from flywheel.api.adapterdeployment import AdapterDeployment, AdapterDeploymentStatus
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.loop.observed import JobView
from flywheel.loop.plan import Plan
from flywheel.serving.calls import Call, CallFailure, ServingPodView


@dataclass(frozen=True)
class DeploymentObserved:
    """`runs` reference the deployment. `failures`: of the calls that the plan before asked for, told once.

    `repository_path` is where a publish step finds the server's model repository, or the store.
    `alias_taken`: somebody else's ConfigMap has the alias' name. `others`: of this namespace, with the same model name.
    """

    deployment: AdapterDeployment
    runs: tuple[FlywheelRun, ...] = ()
    service_found: bool = True
    pods: tuple[ServingPodView, ...] = ()
    jobs: tuple[JobView, ...] = ()
    failures: tuple[CallFailure, ...] = ()
    repository_path: str = "/repository"
    alias_taken: bool = False
    others: tuple[AdapterDeployment, ...] = ()

    @property
    def ready_pods(self) -> tuple[ServingPodView, ...]:
        """Pods that get traffic, by name."""
        ready = (view for view in self.pods if view.endpoint.ready)
        return tuple(sorted(ready, key=lambda view: view.endpoint.pod))


@dataclass(frozen=True)
class DeploymentPlan(Plan[AdapterDeploymentStatus]):
    """Calls come after the status write, so that status says what is being done while a model loads."""

    calls: tuple[Call, ...] = ()
