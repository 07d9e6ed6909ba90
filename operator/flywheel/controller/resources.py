"""The kinds of objects that the operator talks to the API server about. Names only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """One kind: where the API server has it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """As manifests write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """URL path of a collection (namespace None: of all namespaces), or of one object."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{namespace}" if namespace is not None else ""
        return f"{root}{where}/{self.plural}" + (f"/{name}" if name is not None else "")


CURRICULUM = Resource("flywheel.dev", "v1alpha1", "curricula", "Curriculum")
RUN = Resource("flywheel.dev", "v1alpha1", "flywheelruns", "FlywheelRun")
DEPLOYMENT = Resource("flywheel.dev", "v1alpha1", "adapterdeployments", "AdapterDeployment")
JOB = Resource("batch", "v1", "jobs", "Job")
POD = Resource("", "v1", "pods", "Pod")
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap")
SECRET = Resource("", "v1", "secrets", "Secret")
SERVICE = Resource("", "v1", "services", "Service")
ENDPOINT_SLICE = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
EVENT = Resource("events.k8s.io", "v1", "events", "Event")
LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease")

OWNERS = (CURRICULUM, RUN, DEPLOYMENT)
WATCHED = (*OWNERS, JOB, POD)
