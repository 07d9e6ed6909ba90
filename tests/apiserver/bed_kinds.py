"""Our three kinds as tests make cases of them: types, schemas, and what contradicts itself."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import urllib3
import yaml
from bed_cases import Case, cases, nested
from bed_control_plane import ROOT, ControlPlane
from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel, ValidationError

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT, RUN, Resource

Object = dict[str, Any]
_FIELD = re.compile(r"\bspec\b(\.[\w.\[\]-]+)?")
_JOBS: list[Object] = [
    {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
    {"resources": {"requests": {"memory": "64Gi"}}},
    {"resources": {"limits": {"memory": "0"}}},
    {"resources": {"limits": {"memory": "1Ki", "cpu": 1}}},
    {"resources": {"requests": {"nvidia.com/gpu": 1}}},
    {"resources": {"limits": {"nvidia.com/gpu": "0.5"}}},
    {"resources": {"limits": {"nvidia.com/gpu": 8}}},
    {"resources": {"limits": {"gpu": 1}}},
    {"resources": {"limits": {"cpu": "1e99"}}},
    {"tolerations": [{"operator": "Exists", "value": "x"}]},
    {"tolerations": [{"operator": "Equal"}]},
    {"tolerations": [{"operator": "Exists"}]},
    {"nodeSelector": {"not a label": "x"}},
    {"nodeSelector": {"disk": "-"}},
    {"env": [{"name": "FLYWHEEL_REQUEST", "value": "{}"}]},
    {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
    {"env": [{"name": "A", "value": "$(FLYWHEEL_TEACHER_API_KEY)"}]},
    {"image": " image "},
    {"timeout": "99999h99999m99999s"},
]
_TRITON: Object = {
    "serviceRef": {"name": "triton"},
    "model": "severity",
    "repository": {"persistentVolumeClaim": {"claimName": "models"}},
}
_BY_NAME: Object = {
    "serviceRef": {"name": "server"},
    "model": "severity",
    "baseModel": "student",
    "store": {"persistentVolumeClaim": {"claimName": "adapters"}},
}
_CONTRADICTIONS: dict[str, list[Object]] = {
    CURRICULUM.kind: [
        {"pools.ratios": {"exam": "1", "curriculum": "1"}},
        {"pools.ratios": {"exam": "0.250001", "curriculum": "0.349999"}},
        {"pools.ratios": {"exam": "0.25", "curriculum": "0.350001"}},
        {"task.label": {"path": "label", "order": ["a", "a"]}},
        {"task.label": {"path": "label", "order": [f"{number:02}" + "😀" * 61 for number in range(16)]}},
        {"task.inputSchema": {"$ref": "https://example.com/schema"}},
        {"task.inputSchema": nested(63)},
        {"task.inputSchema": {"enum": ["x" * 200] * 700}},
    ],
    RUN.kind: [
        {"training": {}},
        {"training": {"epochs": 1, "maxSteps": 1}},
        {"training": {"epochs": 1, "lora": {"targetModules": ["a", "a"]}}},
        {"training": {"epochs": 1, "learningRate": "1e-99"}},
        {"training": {"epochs": 1, "learningRate": "0.0000001"}},
        {"stop": {"now": True}},
        {"suspend": True},
        {"gate": {"alpha": "0.000001", "maxTestOpenings": 97}},
        {"teacher.baseURL": "http://[::1/v1"},
        {"teacher.baseURL": "http://user:password@host/v1"},
        {"teacher.baseURL": "http://host\u2003/v1"},
        {"teacher.baseURL": "http://:99999999/v1"},
    ],
    DEPLOYMENT.kind: [
        {"verification": {"agreement": "0"}},
        {"target": {}},
        {"target": {"triton": _TRITON, "vllm": _BY_NAME}},
        {"target": {"triton": _TRITON | {"model": "m" * 63}}},
        {"target": {"triton": _TRITON | {"model": "severity-cand-01234567"}}},
        {"target": {"triton": _TRITON | {"backend": "Vllm"}}, "keep": 0},
        {"target": {"triton": _TRITON | {"backend": "Vllm"}}, "pin": "Base"},
        {"target": {"nim": _BY_NAME | {"baseModel": "severity-0123456789ab"}}},
        {"target": {"vllm": _BY_NAME | {"mountPath": "/adapters/../etc"}}},
        {"target": {"nim": _BY_NAME | {"refresh": "0s"}}},
        {"target": {"nim": _BY_NAME}, "rollout": {"canary": {}}},
        {"target": {"vllm": _BY_NAME}, "verification": {"asServed": {}}},
        {"pin": "base"},
        {"pin": "Base", "approval": "Manual", "keep": 0},
    ],
}


@cache  # bed_cases knows the parts of a schema by their identity
def _spec_schema(file: str) -> Object:
    crd = yaml.safe_load((ROOT / "crds" / file).read_text())
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


@dataclass(frozen=True)
class Kind:
    """One kind of ours."""

    resource: Resource
    model: type[BaseModel]
    file: str

    @property
    def cases(self) -> SearchStrategy[Case]:
        """Legal and illegal resources."""
        contradictions = _CONTRADICTIONS[self.resource.kind] + [{"jobs": {"defaults": entry}} for entry in _JOBS]
        return cases(_spec_schema(self.file), _settle, contradictions)

    def fault(self, value: Object, strict: bool = False) -> str:
        """What the type says against it: path and words; empty where it takes it."""
        try:
            if strict:  # as JSON, because strict types know text for a date in JSON only
                self.model.model_validate_json(json.dumps(value), strict=True)
            else:  # as the operator reads it
                self.model.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        return ""


KINDS = (
    Kind(CURRICULUM, Curriculum, "curricula.yaml"),
    Kind(RUN, FlywheelRun, "flywheelruns.yaml"),
    Kind(DEPLOYMENT, AdapterDeployment, "adapterdeployments.yaml"),
)


def _settle(spec: Object) -> None:
    """Make the fields of a legal spec fit each other."""
    training = spec.get("training", {"epochs": 1})
    if ("epochs" in training) == ("maxSteps" in training):
        training |= {"epochs": 1}
        training.pop("maxSteps", None)
    model = spec.get("student", {}).get("model")
    if model is not None and ("hub" in model) == ("persistentVolumeClaim" in model):
        model.clear()
        model["hub"] = {"repo": "org/student", "revision": "c" * 40}
    if "ratios" in spec.get("pools", {}):
        spec["pools"]["ratios"] = {"exam": "0", "curriculum": "1", "validation": "0", "test": "0", "probe": "0"}
    target = spec.get("target", {"triton": {}})
    if len(target) != 1:
        kind = next(iter(target), "triton")
        rest = target.get(kind, deepcopy(_TRITON))  # cases are changed afterwards
        target.clear()
        target[kind] = rest
    if "triton" not in target:
        spec.get("rollout", {}).pop("canary", None)
        spec.get("verification", {}).pop("asServed", None)
    if target.get("triton", {}).get("backend") == "Vllm":
        spec["keep"] = max(spec.get("keep", 1), 1)
        if spec.get("pin") == "Base":
            del spec["pin"]
    workspace = spec.get("workspace", {"s3": {}})
    if ("s3" in workspace) == ("persistentVolumeClaim" in workspace):
        workspace.clear()
        workspace["persistentVolumeClaim"] = {"claimName": "work"}
    task = spec.get("task", {})
    if ("text" in task) != (task.get("scoring") == "Judge"):
        task.pop("text", None)
        task["scoring"] = "Exact"
    for source in spec.get("sources", []):
        _settle_source(source)


def _settle_source(source: Object) -> None:
    if "repository" in source:
        source.pop("dataset", None)
        source.pop("maxRejected", None)
        source |= {"truth": "Teacher", "group": "file"}
        return
    dataset = source.setdefault("dataset", {})
    if sum(place in dataset for place in ("path", "configMap", "s3")) != 1:
        dataset.pop("configMap", None)
        dataset.pop("s3", None)
        dataset["path"] = "items.jsonl"
    logged = dataset.get("format") == "RequestLog"
    source["truth"] = "Feedback" if logged else source["truth"].replace("Feedback", "Human")


class Server:
    """The API server as a user's client sees it: each answer as it is."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        token = json.loads(plane.admin.read_text())["users"][0]["user"]["token"]
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        certificate = str(plane.folder / "api" / "apiserver.crt")
        self._pool = urllib3.HTTPSConnectionPool("127.0.0.1", plane.port, ca_certs=certificate)
        self._namespace = namespace

    def create(self, kind: Resource, case: Case) -> tuple[int, Object]:
        """Create it; status and body of the answer."""
        body = json.dumps({"apiVersion": kind.api_version, "kind": kind.kind, **case.value})
        path = kind.path(self._namespace) + "?fieldValidation=Strict"
        answer = self._pool.request("POST", path, body=body, headers=self._headers)
        return answer.status, json.loads(answer.data)

    def delete(self, kind: Resource, name: str) -> None:
        """Delete it."""
        answer = self._pool.request("DELETE", kind.path(self._namespace, name), headers=self._headers)
        assert answer.status == 200, answer.data


def names_a_field(answer: Object) -> bool:
    """Whether a refusal says where."""
    causes = (answer.get("details") or {}).get("causes") or []
    return any(_FIELD.match(str(cause.get("field"))) for cause in causes) or bool(_FIELD.search(answer["message"]))
