"""The chart's manifests give no right that could reach a Secret, in either mode."""

from __future__ import annotations

import pytest
from chart import Object, of_kind, rendered

POWERS = {"*", "escalate", "bind", "impersonate", "approve", "sign"}
# Whoever may use these can read what pods mount, or can act as them.
OPEN = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "serviceaccounts/token"}
NAMESPACED = "--set=namespaces={review,search}"


def rules(*options: str) -> dict[str, list[Object]]:
    return {entry["metadata"]["name"]: entry["rules"] for entry in of_kind(rendered(*options), "ClusterRole", "Role")}


@pytest.mark.parametrize("mode", ["--set=replicas=2", NAMESPACED], ids=["cluster", "namespaced"])
def test_no_role_reaches_a_secret(mode: str) -> None:
    roles = rules(mode)
    assert set(roles) == {"flywheel-operator", "flywheel-operator-leader", "flywheel-view", "flywheel-edit"}
    for name, own in roles.items():
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


def test_a_list_of_namespaces_gives_a_role_in_each() -> None:
    """The same rules as the ClusterRole's, and nothing for the whole cluster but CRDs and what people get."""
    objects = rendered(NAMESPACED, crds=True)
    kinds = of_kind(objects, "Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition")
    wide = {entry["metadata"]["name"] for entry in kinds}
    plurals = ("curricula", "flywheelruns", "adapterdeployments")
    assert wide == {"flywheel-view", "flywheel-edit", *(f"{plural}.flywheel.dev" for plural in plurals)}
    mine = {
        entry["metadata"]["namespace"]: entry["rules"]
        for entry in of_kind(objects, "Role")
        if entry["metadata"]["name"] == "flywheel-operator"
    }
    assert mine == dict.fromkeys(("review", "search"), rules()["flywheel-operator"])
    bound = {
        entry["metadata"]["namespace"]: (entry["roleRef"], entry["subjects"])
        for entry in of_kind(objects, "RoleBinding")
        if entry["metadata"]["name"] == "flywheel-operator"
    }
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "flywheel-operator"}
    subject = {"kind": "ServiceAccount", "name": "flywheel-operator", "namespace": "flywheel-system"}
    assert bound == dict.fromkeys(("review", "search"), (ref, [subject]))
    env = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "FLYWHEEL_NAMESPACES", "value": "review,search"} in env
