"""The ConfigMap `<AdapterDeployment>-alias`: under vllm and nim, what clients are to ask. Written after the status.

data: {alias: severity-0123456789ab, digest: sha256:...}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flywheel.api.adapterdeployment import AdapterDeployment, AdapterDeploymentStatus
from flywheel.controller.apply import Tools
from flywheel.controller.fields import entries, mapping
from flywheel.controller.jobs import Owner
from flywheel.controller.resources import CONFIG_MAP

_SUFFIX, _MOST = "-alias", 253


@dataclass(frozen=True)
class Alias:
    """The ConfigMap as it was found. `wanted`: the target has one. `taken`: it is somebody else's."""

    name: str
    wanted: bool = False
    taken: bool = False
    data: Mapping[str, Any] | None = None


def alias_name(deployment: str) -> str:
    """Name of its ConfigMap."""
    return f"{deployment[: _MOST - len(_SUFFIX)].rstrip('-.')}{_SUFFIX}"


def observe_alias(tools: Tools, deployment: AdapterDeployment) -> Alias:
    """What is there now. Nothing is asked where the stable name is the server's own. Raises ApiError."""
    name = alias_name(deployment.metadata.name)
    if deployment.spec.target.triton is not None:
        return Alias(name)
    found = tools.api.get(CONFIG_MAP, deployment.metadata.namespace, name)
    if found is None:
        return Alias(name, wanted=True)
    owners = [entry.get("uid") for entry in entries(found, "metadata", "ownerReferences")]
    return Alias(name, wanted=True, taken=deployment.metadata.uid not in owners, data=mapping(found, "data"))


def write_alias(tools: Tools, owner: Owner, alias: Alias, status: AdapterDeploymentStatus) -> None:
    """Have it say what status says; one write, and none where it does already. Raises ApiError."""
    if not alias.wanted or alias.taken or status.serving is None or status.alias is None:
        return
    data = {"alias": status.alias, "digest": status.serving.digest}
    if data == alias.data:
        return
    body = {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": alias.name,
            "namespace": owner.namespace,
            "labels": {"app.kubernetes.io/managed-by": "flywheel-operator", "app.kubernetes.io/part-of": "flywheel"},
            "ownerReferences": [owner.reference(blocks_deletion=False)],
        },
        "data": data,
    }
    tools.api.apply(CONFIG_MAP, owner.namespace, alias.name, body)
