"""The CRDs on a real API server: what it refuses, where and why; it reads back the names that pydantic wrote."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from bed_control_plane import ROOT, ControlPlane
from bed_resources import curriculum, deployment, run

from conftest import Bed
from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT, RUN, Resource

Object = dict[str, Any]
KINDS = [
    (CURRICULUM, Curriculum, curriculum, "severity"),
    (RUN, FlywheelRun, run, "first"),
    (DEPLOYMENT, AdapterDeployment, deployment, "severity"),
]


@pytest.mark.parametrize(("kind", "model", "make", "name"), KINDS, ids=[entry[0].kind for entry in KINDS])
def test_names_read_back(bed: Bed, kind: Resource, model: Any, make: Callable[[str], Object], name: str) -> None:
    """Every property that pydantic writes is stored under that name, and nothing else is."""
    written = model.model_validate(make(bed.namespace)).spec.to_json_object()
    bed.apply({**make(bed.namespace), "spec": written})
    stored = bed.get(kind, name)["spec"]
    assert stored == written
    # Defaults of the schema and of pydantic are the same: a sparse resource reads back as the full one.
    sparse = {**make(bed.namespace), "metadata": {"name": "sparse", "namespace": bed.namespace}}
    bed.apply(sparse)
    assert model.model_validate(bed.get(kind, "sparse")).spec.to_json_object() == written


@pytest.mark.parametrize(("kind", "model", "make", "name"), KINDS, ids=[entry[0].kind for entry in KINDS])
def test_unknown_field_is_refused(bed: Bed, kind: Resource, model: Any, make: Any, name: str) -> None:
    """kubectl apply says which field, by its path."""
    wrong = copy.deepcopy(make(bed.namespace))
    wrong["spec"]["jobs"] = {"defaults": {"nodeSelektor": {}}}
    said = bed.plane.kubectl("apply", "--validate=strict", "-f", "-", stdin=json.dumps(wrong), check=False)
    assert 'unknown field "spec.jobs.defaults.nodeSelektor"' in said
    assert bed.api.get(kind, bed.namespace, name) is None


def _with(make: Callable[[str], Object], path: str, value: Any) -> Callable[[str], Object]:
    def made(namespace: str) -> Object:
        found = make(namespace)
        at = found["spec"]
        *parents, last = path.split(".")
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
        return found

    return made


S3 = {"endpoint": "http://minio:9000", "bucket": "flywheel", "secretRef": {"name": "bucket"}}
CLAIM = {"persistentVolumeClaim": {"claimName": "flywheel"}}
VLLM = {
    "serviceRef": {"name": "triton"},
    "model": "severity",
    "baseModel": "student",
    "store": {"persistentVolumeClaim": {"claimName": "models"}},
}
JUDGE = {"baseURL": "http://judge/v1", "model": "arbiter-2", "secretRef": {"name": "judge"}}
REFUSED = [
    (_with(curriculum, "workspace", {}), "a workspace is either a persistentVolumeClaim or s3"),
    (_with(curriculum, "workspace", {**CLAIM, "s3": S3}), "a workspace is either a persistentVolumeClaim or s3"),
    (_with(curriculum, "workspace", {"s3": {**S3, "endpoint": "minio:9000"}}), "spec.workspace.s3.endpoint"),
    (_with(curriculum, "workspace", {"s3": {**S3, "prefix": "../other"}}), "spec.workspace.s3.prefix"),
    (_with(run, "training", {}), "exactly one of epochs and maxSteps must be set"),
    (_with(run, "training", {"epochs": 1, "maxSteps": 2}), "exactly one of epochs and maxSteps must be set"),
    (_with(run, "jobs.defaults.env", [{"name": "FLYWHEEL_X", "value": "1"}]), "belong to the operator"),
    (
        _with(run, "jobs.defaults.env", [{"name": "X", "value": "", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
        'unknown field "spec.jobs.defaults.env[0].valueFrom"',
    ),
    (_with(run, "jobs.defaults.resources", {"limits": {"memory": 0}}), "memory must be more than 0"),
    (_with(run, "jobs.defaults.resources", {"requests": {"memory": "0.0Gi"}}), "memory must be more than 0"),
    (_with(run, "jobs.defaults.serviceAccountName", "admin"), 'unknown field "spec.jobs.defaults.serviceAccountName"'),
    (_with(run, "teacher.baseURL", "ftp://teacher/v1"), "spec.teacher.baseURL"),
    (_with(run, "student.model", {}), "exactly one of persistentVolumeClaim and hub"),
    (
        _with(run, "student.model", {"hub": {"repo": "org/student", "revision": "main"}}),
        "spec.student.model.hub.revision",
    ),
    (_with(run, "teacher.headers", [{"name": "authorization", "value": "x"}]), "keys belong in the Secret"),
    (_with(run, "teacher.headers", [{"name": "Authorization", "value": "x"}]), "spec.teacher.headers[0].name"),
    (_with(run, "teacher.query", [{"name": "API_Key", "value": "x"}]), "keys belong in the Secret"),
    (_with(run, "teacher.proxy", "http://user:password@proxy:3128"), "spec.teacher.proxy"),
    (_with(run, "teacher.structuredOutputs", "Yaml"), "spec.teacher.structuredOutputs"),
    (_with(run, "stop.accuracy", "1.5"), "spec.stop.accuracy"),
    (_with(run, "stop.budget", {"cost": "20"}), "stop.budget.cost needs teacher.prices"),
    (
        _with(run, "stop.budget", {"reserveForFinish": "0.2"}),
        "one of teacherTokens, cost, gpuHours and wallTime must be set",
    ),
    (_with(run, "teacher.prices", {"inputPerMillion": "2.5e3", "outputPerMillion": "1"}), "inputPerMillion"),
    (_with(run, "jobs.defaults.timeout", "soon"), "spec.jobs.defaults.timeout"),
    (_with(run, "gate.preference", {"margin": "0.1"}), "gate.preference needs evaluation.judge"),
    (_with(_with(run, "deploymentRef", {"name": "severity"}), "control", True), "leave out control or deploymentRef"),
    (_with(run, "evaluation", {"judge": JUDGE | {"budget": {"cost": "1"}}}), "budget.cost needs prices"),
    (
        _with(run, "evaluation", {"judge": JUDGE, "compare": [JUDGE | {"name": "base"}]}),
        "compare[].name must be none of base",
    ),
    (_with(curriculum, "task.scoring", "Judge"), "text must be set exactly where scoring is Judge"),
    (_with(curriculum, "sources", []), "spec.sources"),
    (_with(curriculum, "pools.ratios", {"exam": "0.26"}), "must add up to 1"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_bad_spec_is_refused(plane: ControlPlane, make: Callable[[str], Object], words: str) -> None:
    """Rules across fields, patterns and limits: with the words that say what to do."""
    said = plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(make("default")), check=False)
    assert words in said


CHANGES = [
    ("fwr/first", {"seed": 7}, "is immutable"),
    ("fwr/first", {"control": True}, "is immutable"),
    ("fwr/first", {"curriculumRef": {"name": "other"}}, "is immutable"),
    ("fwr/first", {"student": {"model": {"persistentVolumeClaim": {"path": "other"}}}}, "is immutable"),
    ("curr/severity", {"pools": {"key": "other"}}, "is immutable"),
    ("curr/severity", {"workspace": {"persistentVolumeClaim": {"claimName": "other"}}}, "is immutable"),
    ("curr/severity", {"workspace": {"persistentVolumeClaim": None, "s3": S3}}, "is immutable"),
    ("adep/severity", {"target": {"triton": {"port": 9001}}}, "is immutable"),
    ("adep/severity", {"target": {"triton": {"serviceRef": {"name": "other"}}}}, "is immutable"),
    ("adep/severity", {"target": {"triton": None, "vllm": VLLM}}, "stays triton, vllm or nim"),
    ("adep/severity", {"target": {"triton": {"tls": {"serverName": "triton.review.svc"}}}}, ""),
    ("adep/severity", {"target": {"triton": {"credentialsRef": {"name": "triton-admin"}}}}, ""),
    ("adep/severity", {"target": {"triton": {"tls": {"serverName": "10.0.0.7:8001"}}}}, "tls.serverName"),
    ("fwr/first", {"stop": {"maxIterations": 9}}, ""),
    ("fwr/first", {"suspend": True}, ""),
    ("fwr/first", {"exam": {"questions": 9}}, ""),  # iteration 1 has not begun
    ("fwr/begun", {"exam": {"questions": 9}}, "once iteration 1 has begun"),
    ("fwr/begun", {"training": {"learningRate": "1e-2"}}, "once iteration 1 has begun"),
    ("fwr/begun", {"teacher": {"model": "other"}}, "once iteration 1 has begun"),
    ("fwr/begun", {"teacher": {"query": [{"name": "api-version", "value": "2"}]}}, "once iteration 1 has begun"),
    ("fwr/begun", {"teacher": {"structuredOutputs": "JSONObject"}}, "once iteration 1 has begun"),
    ("fwr/begun", {"teacher": {"headers": [{"name": "x-a", "value": "1"}], "proxy": "http://proxy:3128"}}, ""),
    ("fwr/begun", {"teacher": {"caBundleRef": {"name": "corp-ca"}}}, ""),
    ("fwr/first", {"evaluation": {"judge": JUDGE}, "gate": {"preference": {"margin": "0.1"}}}, ""),
    ("fwr/begun", {"evaluation": {"judge": JUDGE}}, "once iteration 1 has begun"),
    ("fwr/begun", {"teacher": {"secretRef": {"name": "other"}}}, ""),
    ("fwr/begun", {"teacher": {"prices": {"inputPerMillion": "2.50", "outputPerMillion": "10"}}}, ""),
    ("fwr/begun", {"stop": {"budget": {"teacherTokens": 9000}}}, ""),
    ("fwr/begun", {"jobs": {"defaults": {"image": "registry.example/other:2"}}}, ""),
]


@pytest.fixture(scope="module")
def begun(plane: ControlPlane) -> Iterator[ControlPlane]:
    """A run that has not begun, one that has, a Curriculum and an AdapterDeployment; no operator."""
    namespace = "changes"
    plane.kubectl("create", "namespace", namespace)
    for resource in (curriculum(namespace), run(namespace), run(namespace, "begun"), deployment(namespace)):
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(resource))
    plane.kubectl(
        "-n", namespace, "patch", "fwr", "begun", "--subresource=status", "--type=merge", "-p",
        '{"status": {"iteration": 1}}',
    )  # fmt: skip
    yield plane
    plane.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize(("target", "spec", "words"), CHANGES)
def test_what_may_change_when(begun: ControlPlane, target: str, spec: Object, words: str) -> None:
    """CEL: immutable for ever, fixed once begun, or free; the message says what to do instead."""
    patch = json.dumps({"spec": spec})
    said = begun.kubectl("-n", "changes", "patch", target, "--type=merge", "--dry-run=server", "-p", patch, check=False)
    assert words in said
    assert ("patched" in said) == (words == "")


def test_explain_has_text(plane: ControlPlane) -> None:
    """kubectl explain says something of every field."""
    shown = plane.kubectl("explain", "fwr.spec.stop")
    assert "When the run ends" in shown and "maxIterations" in shown
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert list(_silent(schema, crd["spec"]["names"]["kind"])) == []
        assert path.stat().st_size < 256 * 1024


def _silent(schema: Object, path: str) -> Iterator[str]:
    for name, entry in schema.get("properties", {}).items():
        if name != "metadata" and not entry.get("description"):  # the API server has words for that
            yield f"{path}.{name}"
        yield from _silent(entry, f"{path}.{name}")
        yield from _silent(entry.get("items", {}), f"{path}.{name}[]")
