"""The operator's pod: restricted, and what the values say arrives in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from chart import of_kind, rendered

HERE = Path(__file__).parent
EVERYTHING = f"--values={HERE / 'everything.values.yaml'}"


def pod(*options: str) -> dict[str, Any]:
    (deployment,) = of_kind(rendered(*options), "Deployment")
    return deployment["spec"]["template"]["spec"]


@pytest.mark.parametrize("options", ["--set=replicas=2", EVERYTHING], ids=["defaults", "everything"])
def test_every_pod_is_restricted(options: str) -> None:
    objects = rendered(options)
    assert not of_kind(objects, "Pod", "Job", "CronJob", "DaemonSet", "StatefulSet"), "a pod that nobody looked at"
    found = pod(options)
    (container,) = found["containers"]
    assert "initContainers" not in found and not {"hostNetwork", "hostPID", "hostIPC"} & set(found)
    assert found["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert [set(volume) - {"name"} for volume in found["volumes"]] == [{"emptyDir"}]
    assert not [entry for entry in container["env"] if "secretKeyRef" in str(entry)]


def test_two_replicas_never_evicted_together() -> None:
    objects = rendered()
    (deployment,), (budget,) = of_kind(objects, "Deployment"), of_kind(objects, "PodDisruptionBudget")
    assert deployment["spec"]["replicas"] == 2 and budget["spec"]["maxUnavailable"] == 1
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (service,) = of_kind(objects, "Service")
    for selector in (deployment["spec"]["selector"]["matchLabels"], budget["spec"]["selector"]["matchLabels"]):
        # Immutable in a Deployment: another value and no upgrade would succeed.
        assert selector == {"app.kubernetes.io/name": "flywheel-operator"} == service["spec"]["selector"]
        assert selector.items() <= labels.items()


def test_the_values_arrive() -> None:
    """Whatever may be said of the pod is in it as it was said; the snapshot is compared by `make lint`."""
    said = yaml.safe_load((HERE / "everything.values.yaml").read_text())
    (made,) = of_kind(list(yaml.safe_load_all((HERE / "everything.yaml").read_text())), "Deployment")
    inner = made["spec"]["template"]["spec"]
    (container,) = inner["containers"]
    assert made["spec"]["replicas"] == said["replicas"]
    for name in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert inner[name] == said[name]
    assert inner["imagePullSecrets"] == said["images"]["pullSecrets"]
    assert (container["resources"], container["imagePullPolicy"]) == (said["resources"], said["images"]["pullPolicy"])
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    for name in ("operator", "student", "trainer"):
        assert env[f"FLYWHEEL_IMAGE_{name.upper()}"] == said["images"][name]
    assert container["image"] == said["images"]["operator"]
