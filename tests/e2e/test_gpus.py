"""GPUs as the scheduler counts them, on a node that has none: one that is busy is waited for, and the run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cluster import Namespace, kubectl, small_run, wait_for

GPU = "nvidia.com/gpu"
_PATH = "/status/capacity/nvidia.com~1gpu"


@pytest.fixture
def one_gpu() -> Iterator[None]:
    """The node says that it has one."""
    node = kubectl("get", "nodes", "-o", "name").split()[0]
    _patch(node, {"op": "add", "path": _PATH, "value": "1"})
    yield
    _patch(node, {"op": "remove", "path": _PATH})


def _patch(node: str, change: dict[str, str]) -> None:
    kubectl("patch", node, "--subresource=status", "--type=json", "-p", json.dumps([change]))


def test_a_gpu_that_is_busy_is_waited_for(namespace: Namespace, one_gpu: None) -> None:
    """Stalled with the resource's name while another pod has it; counted as a GPU once the step runs."""
    del one_gpu
    namespace.apply(_holds_a_gpu())
    namespace.kubectl("wait", "--for=condition=PodScheduled", "pod/busy", "--timeout=60s")
    limits = {"limits": {GPU: "1", "memory": "4Gi"}}
    namespace.apply(small_run("wants-a-gpu", jobs={"steps": [{"name": "validate", "resources": limits}]}))
    said = namespace.wait_reason("fwr", "wants-a-gpu", "Stalled", "Unschedulable")["message"]
    assert GPU in said and "jobs.steps[].resources" in said
    namespace.kubectl("delete", "pod", "busy", "--grace-period=1")
    wait_for("the step to run", lambda: bool(_status(namespace).get("pod")))
    status = _status(namespace)
    assert (status["pod"]["step"], status["pod"]["gpus"], status["attempt"]["failures"]) == ("validate", 1, 0)
    namespace.kubectl("delete", "fwr", "wants-a-gpu", "--wait=false")


def _status(namespace: Namespace) -> dict[str, dict[str, object]]:
    return namespace.get("fwr", "wants-a-gpu").get("status", {})


def _holds_a_gpu() -> dict[str, object]:
    container = {
        "name": "busy",
        "image": "flywheel/operator:dev",
        "command": ["sleep", "600"],
        "resources": {"limits": {GPU: "1", "memory": "32Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "busy"},
        "spec": {"restartPolicy": "Never", "securityContext": security, "containers": [container]},
    }
