"""NetworkPolicies: off, or such that every step's pod gets out to what its program asks and nowhere else."""

from __future__ import annotations

from typing import get_args

import pytest
from chart import Object, of_kind, rendered
from resources import CLAIM
from restricted import IMAGES, OWNER, TEACHING

from flywheel.api.jobs import JobSettings, StepName
from flywheel.api.request import ExamParameters, StepRequest, TeacherParameters
from flywheel.controller.jobs import job_manifest
from flywheel.loop.plan import Claims, StepJob

ON = ("--set=networkPolicy.enabled=true", "--set=networkPolicy.stepNamespaces={review}")
BUCKET = '--set-json=networkPolicy.bucketEgress=[{"to":[{"ipBlock":{"cidr":"192.0.2.20/32"}}]}]'
DNS = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
TO_BUCKET = {"to": [{"ipBlock": {"cidr": "192.0.2.20/32"}}]}
TO_NEIGHBOURS = {"to": [{"podSelector": {}}]}
TO_TEACHER = {
    "to": [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
    ],
    "ports": [{"port": 443, "protocol": "TCP"}],
}


def policies(*options: str) -> list[Object]:
    return of_kind(rendered(*options), "NetworkPolicy")


def labels(step: StepName) -> dict[str, str]:
    """Of the pods of a program, as the operator makes them."""
    teacher = TeacherParameters(base_url="http://teacher/v1", model="big")
    parameters = ExamParameters(teacher=teacher, questions=4)
    request = StepRequest(namespace="review", owner="x", attempt=1, output="runs/x", parameters=parameters)
    job = StepJob("job-1", request.step, request, JobSettings(), Claims(CLAIM), "teacher", None)
    found = job_manifest(job, OWNER, IMAGES)["spec"]["template"]["metadata"]["labels"]
    assert found["app.kubernetes.io/component"] == "exam"
    return {**found, "app.kubernetes.io/component": step}


def selects(policy: Object, pod: dict[str, str]) -> bool:
    """As Kubernetes reads a podSelector, of what is used here."""
    selector = policy["spec"]["podSelector"]
    assert selector["matchLabels"], "an empty selector takes the pods of others too"
    expressions = selector.get("matchExpressions", [])
    assert all(entry["operator"] == "In" for entry in expressions)
    return selector["matchLabels"].items() <= pod.items() and all(
        pod.get(entry["key"]) in entry["values"] for entry in expressions
    )


def egress(step: StepName, *options: str) -> list[Object]:
    """What all policies that select a step's pod allow it; at least one has to select it."""
    mine = [entry for entry in policies(*options) if selects(entry, labels(step))]
    assert mine and all("Egress" in entry["spec"]["policyTypes"] for entry in mine)
    assert all(entry["metadata"]["namespace"] == "review" for entry in mine)
    assert any("Ingress" in entry["spec"]["policyTypes"] and "ingress" not in entry["spec"] for entry in mine)
    return [rule for entry in mine for rule in entry["spec"].get("egress", [])]


def test_they_are_off() -> None:
    assert policies() == []


@pytest.mark.parametrize("step", get_args(StepName))
def test_a_step_reaches_what_its_program_asks(step: StepName) -> None:
    asks = {"verify": TO_NEIGHBOURS, **dict.fromkeys((*TEACHING, "judge", "fetch"), TO_TEACHER)}
    expected = [DNS, asks[step]] if step in asks else []
    assert egress(step, *ON) == expected
    assert egress(step, *ON, BUCKET) == [DNS, TO_BUCKET, *expected]


def test_the_operator_reaches_the_api_server_and_pods() -> None:
    (policy,) = [entry for entry in policies(*ON) if entry["metadata"]["namespace"] == "flywheel-system"]
    assert policy["spec"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "flywheel-operator"}}
    assert policy["spec"]["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}]}]
    api = {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]}
    assert policy["spec"]["egress"] == [DNS, api, {"to": [{"namespaceSelector": {}}]}]


def test_the_watched_namespaces_are_confined_unless_told() -> None:
    found = policies("--set=networkPolicy.enabled=true", "--set=namespaces={review,search}")
    steps = {entry["metadata"]["namespace"] for entry in found if entry["metadata"]["name"] != "flywheel-operator"}
    assert steps == {"review", "search"}
    (operator,) = [entry for entry in found if entry["metadata"]["name"] == "flywheel-operator"]
    names = ("review", "search")
    assert operator["spec"]["egress"][-1] == {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in names]
    }
