"""The operator's rights on a real API server: all that it does is granted, all that is granted is used, no Secrets."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import bed_operator
import pytest
import yaml
from bed_control_plane import NAMESPACED, NAMESPACED_USER, OPERATOR_USER, ROOT, ControlPlane
from bed_node import DONE, HOLD
from bed_resources import curriculum, deployment, run

from conftest import Bed, made_bed
from flywheel.controller.client import Api, ApiError
from flywheel.controller.metrics import Metrics
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT, RUN, SECRET

CANARY = "canary-0d9e"
# Granted, and never to be seen in a request.
UNSEEN = {
    ("flywheel.dev", f"{plural}/finalizers", "update"): "asked by admission when a Job blocks its owner's deletion"
    for plural in ("curricula", "flywheelruns", "adapterdeployments")
} | {
    ("", "configmaps", "create"): "asked by server-side apply of an alias that is not there yet",
    ("", "configmaps", "get"): "asked where an AdapterDeployment has vllm or nim: tests/unit/controller/test_alias.py",
    ("", "configmaps", "patch"): "asked there too, once an adapter serves",
}
Right = tuple[str, str, str]


def granted() -> set[Right]:
    """Group, resource and verb of every right in the operator's ClusterRole."""
    documents = yaml.safe_load_all((ROOT / "charts/kustomize/base/operator.yaml").read_text())
    (role,) = (d for d in documents if (d["kind"], d["metadata"]["name"]) == ("ClusterRole", "flywheel-operator"))
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(plane: ControlPlane, user: str, namespace: str) -> set[Right]:
    """The same of every request that a user made in a namespace; none may have been forbidden."""
    requests = [request for request in plane.requests(user) if request["namespace"] == namespace]
    assert requests
    assert not [request for request in requests if request["code"] == "403"]
    return {(r["group"], r["resource"] + (f"/{r['sub']}" if r["sub"] else ""), r["verb"]) for r in requests}


class Meddler:
    """Stands between the operator and the API server, and makes happen what else would be luck.

    The first status of each kind is written just after somebody else changed the object; the first Job and the first
    event are there already when they are created.
    """

    def __init__(self, call: Callable[..., Any], admin: Api, namespace: str) -> None:
        self._call, self._admin, self._namespace, self._done = call, admin, namespace, set[str]()

    def __call__(self, method: str, url: str, *rest: Any, **more: Any) -> Any:
        plural, *name = url.partition("?")[0].partition(f"/namespaces/{self._namespace}/")[2].split("/")
        if (method, *name[1:]) in (("PUT", "status"), ("POST",)) and plural not in self._done:
            self._done.add(plural)
            kind = next((kind for kind in (CURRICULUM, RUN, DEPLOYMENT) if kind.plural == plural), None)
            if kind is not None:
                self._admin.patch(kind, self._namespace, name[0], {"metadata": {"labels": {"changed": "meanwhile"}}})
            else:
                self._call(method, url, *rest, **more).read()
        return self._call(method, url, *rest, **more)


def test_used_is_granted_and_granted_is_used(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole life: a run that is suspended and goes on, a deployment whose Service has no pods, and some bad luck."""
    connect = bed_operator.client_for

    def meddled(kubeconfig: Any) -> Any:
        client = connect(kubeconfig)
        client.call_api = Meddler(client.call_api, bed.api, bed.namespace)
        return client

    monkeypatch.setattr(bed_operator, "client_for", meddled)
    held = {"exam"}
    bed.node.script = lambda request: HOLD if request.step in held else DONE
    bed.operator()
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "triton", "namespace": bed.namespace},
        "spec": {"ports": [{"port": 8001}], "clusterIP": "None"},
    }
    bed.apply(service, curriculum(bed.namespace), run(bed.namespace, iterations=1), deployment(bed.namespace))
    bed.until("the exam", lambda: [name for name in bed.node.started if "-exam-" in name])
    bed.patch(RUN, "first", {"suspend": True})
    bed.until("no exam", lambda: not bed.jobs("exam"))
    held.clear()
    bed.patch(RUN, "first", {"suspend": False})
    bed.until_completed()
    bed.until_condition(DEPLOYMENT, "severity", "Stalled", "TargetUnavailable")
    seen = used(bed.plane, OPERATOR_USER, bed.namespace)
    assert seen <= granted()
    assert sorted(granted() - seen) == sorted(UNSEEN)


def test_secrets_are_refused(bed: Bed) -> None:
    """The API server itself refuses the operator every look at a Secret."""
    bed.plane.kubectl("-n", bed.namespace, "create", "secret", "generic", "teacher", f"--from-literal=apiKey={CANARY}")
    api = Api(bed_operator.client_for(bed.plane.operator), Metrics())
    looks: list[Callable[[], Any]] = [
        lambda: api.get(SECRET, bed.namespace, "teacher"),
        lambda: api.list(SECRET, bed.namespace),
        lambda: api.list(SECRET, None),
        lambda: api.patch(SECRET, bed.namespace, "teacher", {}),
        lambda: api.delete(SECRET, bed.namespace, "teacher", "x"),
    ]
    for look in looks:
        with pytest.raises(ApiError) as refused:
            look()
        assert refused.value.status == 403 and CANARY not in str(refused.value)


def test_a_role_lets_it_read_one_secret_by_name(bed: Bed) -> None:
    """The Role of docs/serving/triton.md: that Secret and no other, and no list of them."""
    documents = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/serving/triton.md").read_text(), re.DOTALL)
    (roles,) = [text for text in documents if "kind: RoleBinding" in text]
    for name in ("triton-admin", "teacher"):
        held = f"--from-literal=value={CANARY}"
        bed.plane.kubectl("-n", bed.namespace, "create", "secret", "generic", name, held)
    api = Api(bed_operator.client_for(bed.plane.operator), Metrics())
    with pytest.raises(ApiError):
        api.get(SECRET, bed.namespace, "triton-admin")
    bed.plane.kubectl("apply", "-f", "-", stdin=roles.replace("namespace: review", f"namespace: {bed.namespace}"))

    def may_read() -> bool:
        with suppress(ApiError):
            return api.get(SECRET, bed.namespace, "triton-admin") is not None
        return False

    bed.until("the right", may_read)
    for look in (lambda: api.get(SECRET, bed.namespace, "teacher"), lambda: api.list(SECRET, bed.namespace)):
        with pytest.raises(ApiError):
            look()


@pytest.mark.parametrize(
    "verb_and_resource",
    ["create pods", "create pods/exec", "create serviceaccounts/token", "list configmaps", "update configmaps",
     "delete configmaps", "patch jobs", "update pods", "create deployments", "patch flywheelruns",
     "delete flywheelruns", "escalate roles", "impersonate users"],
)  # fmt: skip
def test_other_ways_to_a_secret_are_closed(bed: Bed, verb_and_resource: str) -> None:
    """Nor can it make a pod of its own that mounts one, enter a pod, or give itself more rights."""
    who = f"--as={OPERATOR_USER}"
    said = bed.plane.kubectl("-n", bed.namespace, "auth", "can-i", *verb_and_resource.split(), who, check=False)
    assert said.split()[-1] == "no"


def test_a_role_in_one_namespace_is_enough(plane: ControlPlane, api: Api) -> None:
    """charts/kustomize/namespaced: a whole run with nothing but a Role, and nothing forbidden."""
    with made_bed(plane, api, NAMESPACED) as bed:
        manifests = plane.kubectl("kustomize", str(ROOT / "charts/kustomize/namespaced"))
        kinds = [document["kind"] for document in yaml.safe_load_all(manifests)]
        assert sorted(kinds) == [
            "Deployment",
            "PodDisruptionBudget",
            *["Role"] * 2,
            *["RoleBinding"] * 2,
            "Service",
            "ServiceAccount",
        ]
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=manifests)
        operator = bed.operator(kubeconfig=plane.namespaced)
        bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
        bed.until_completed()
        assert used(plane, NAMESPACED_USER, NAMESPACED) <= granted()
        forbidden = [request for request in plane.requests(NAMESPACED_USER) if request["code"] == "403"]
        assert not forbidden, "it asked for something outside its namespace"
        assert operator.health.ready() == ""
        for where in (["-n", "default"], ["-A"]):
            asked = ["auth", "can-i", "list", "curricula", f"--as={NAMESPACED_USER}", *where]
            assert plane.kubectl(*asked, check=False).split()[-1] == "no"


def test_the_deployment_says_its_namespace(plane: ControlPlane) -> None:
    """It watches where it runs, whatever the namespace is called."""
    manifests = yaml.safe_load_all(plane.kubectl("kustomize", str(ROOT / "charts/kustomize/namespaced")))
    (made,) = (document for document in manifests if document["kind"] == "Deployment")
    env = {entry["name"]: entry for entry in made["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["FLYWHEEL_NAMESPACES"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
