"""The operator's manifests give no right that could reach a Secret, and its own pod is restricted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[3] / "charts/flywheel-operator"
POWERS = {"*", "escalate", "bind", "impersonate", "approve", "sign"}
# Whoever may use these can read what pods mount, or can act as them.
OPEN = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "serviceaccounts/token"}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CHART / name).read_text()))


def rules() -> dict[str, list[dict[str, Any]]]:
    roles = {d["metadata"]["name"]: d["rules"] for d in documents("rbac.yaml") if d["kind"].endswith("Role")}
    assert set(roles) == {"flywheel-operator", "flywheel-operator-leader", "flywheel-view", "flywheel-edit"}
    return roles


def test_no_role_reaches_a_secret() -> None:
    for name, own in rules().items():
        for rule in own:
            assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}, name
            assert not POWERS & {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}, name
            assert not OPEN & set(rule["resources"]), name


def test_the_operator_changes_only_what_is_its_own() -> None:
    changes = {
        (resource, verb)
        for rule in rules()["flywheel-operator"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in ("get", "list", "watch")
    }
    kinds = ("curricula", "flywheelruns", "adapterdeployments")
    assert changes == {
        *((f"{kind}/status", "update") for kind in kinds),
        *((f"{kind}/finalizers", "update") for kind in kinds),
        ("jobs", "create"),
        ("jobs", "delete"),
        ("events", "create"),
        ("events", "patch"),
        ("configmaps", "create"),
        ("configmaps", "patch"),
    }


def test_people_get_rights_on_our_resources_only() -> None:
    roles = rules()
    for name in ("flywheel-view", "flywheel-edit"):
        assert {group for rule in roles[name] for group in rule["apiGroups"]} == {"flywheel.dev"}
        assert not [resource for rule in roles[name] for resource in rule["resources"] if "/" in resource]


def test_the_operators_pod_is_restricted() -> None:
    (deployment,) = documents("deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert not [entry for entry in container["env"] if "secretKeyRef" in str(entry)]
    (namespace,) = documents("namespace.yaml")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
