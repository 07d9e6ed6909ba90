"""Where the operator has credentials and certificates from, and that a key goes to the pods and nowhere else."""

from __future__ import annotations

import base64
import json
import logging
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import Reason
from flywheel.controller.access import serving_access
from flywheel.controller.apply import Tools
from flywheel.controller.cache import Cache
from flywheel.controller.client import ApiError
from flywheel.controller.deadlines import Deadlines
from flywheel.controller.reconcile_deployment import Failures, reconcile_deployment
from flywheel.controller.resources import CONFIG_MAP, DEPLOYMENT, SECRET, SERVICE
from flywheel.controller.settings import Settings
from flywheel.serving.access import Access, Server, Trust, credential
from flywheel.serving.calls import Endpoint
from flywheel.serving.errors import CertificateError, CredentialError

from .test_access import KEY, NAME, TARGETS, WHOLE, keeper, pki
from .world import START, digest

__all__ = ["keeper", "pki"]


class ApiServer:
    """Objects by kind; what it may not read it is refused."""

    def __init__(self, **found: Any) -> None:
        self.found, self.asked = found, list[tuple[str, str, str]]()

    def get(self, kind: Any, namespace: str, name: str) -> Any:
        self.asked.append((kind.plural, namespace, name))
        held = self.found.get(kind.plural)
        if isinstance(held, ApiError):
            raise held
        return held


def deployment(kind: str = "triton", **more: Any) -> AdapterDeployment:
    return AdapterDeployment.model_validate(
        {
            "metadata": {"name": "severity", "namespace": "review", "uid": "0123456789", "generation": 1},
            "spec": {"target": {kind: TARGETS[kind] | more}},
        }
    )


def read(api: ApiServer, kind: str = "triton", **more: Any) -> Access:
    tools: Any = SimpleNamespace(api=api)
    return serving_access(tools, deployment(kind, **more))


def secret(values: dict[str, str]) -> dict[str, Any]:
    return {"data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}}


REF = {"credentialsRef": {"name": "triton-admin"}}


def test_nothing_is_asked_where_nothing_is_named() -> None:
    api = ApiServer()
    assert read(api) == Access() and api.asked == []
    assert read(api, tls={"serverName": NAME}) == Access(Trust(NAME)) and api.asked == []


@pytest.mark.parametrize("kind", WHOLE)
def test_one_secret_is_read_by_its_name(kind: Server) -> None:
    api = ApiServer(secrets=secret(WHOLE[kind] | {"other": "x"}))
    assert read(api, kind, **REF) == Access(None, credential(kind, WHOLE[kind], "s"))
    assert api.asked == [("secrets", "review", "triton-admin")]


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (ApiError(403, "Forbidden", f"no {KEY}"), r"a Role .* resourceNames \[triton-admin\] .*docs/serving/triton.md"),
        (None, "there is no Secret triton-admin .*create it"),
        ({}, "Secret triton-admin .* lacks the key header"),
        (secret({"header": "admin-key"}), "lacks the key value"),
        (secret({"header": "admin-key", "value": f"{KEY}\n"}), "key value of Secret triton-admin .*line break"),
        ({"data": {"header": "eA==", "value": "/w=="}}, "bytes that are no text"),
        ({"data": {"header": "eA==", "value": f"{KEY}"}}, "bytes that are no text"),
    ],
)
def test_what_is_missing_is_said_in_one_line_without_the_value(held: Any, words: str) -> None:
    with pytest.raises(CredentialError, match=words) as caught:
        read(ApiServer(secrets=held), **REF)
    assert KEY not in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert caught.value.reason is Reason.TARGET_SECRET and "target.triton.credentialsRef" in str(caught.value)


def test_an_api_server_that_is_away_is_no_fault_of_the_secret() -> None:
    with pytest.raises(ApiError):
        read(ApiServer(secrets=ApiError(0, "Unreachable", "x")), **REF)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (None, "is not there"),
        ({"data": {"other": "x"}}, "is not there"),
        ({"data": {"ca.crt": "x"}}, "no certificates"),
    ],
)
def test_a_bundle_that_is_none_is_said(held: Any, words: str) -> None:
    with pytest.raises(CertificateError, match=f"key ca.crt of ConfigMap corp-ca .*{words}") as caught:
        read(ApiServer(configmaps=held), tls={"serverName": NAME, "caBundleRef": {"name": "corp-ca"}})
    assert caught.value.reason is Reason.TARGET_CERTIFICATE


class Recording(ApiServer):
    """A whole API server for one AdapterDeployment: keeps what is written."""

    def __init__(self, item: dict[str, Any], pod: Endpoint, ca: str) -> None:
        super().__init__(services={"metadata": {"name": "s"}}, configmaps=None)
        self.item, self.pod, self.ca = item, pod, ca
        self.written: list[Any] = []
        self.deadlines = Deadlines()

    def get(self, kind: Any, namespace: str, name: str) -> Any:
        if kind == CONFIG_MAP and name == "corp-ca":
            return {"data": {"ca.crt": self.ca}}
        assert kind in (SERVICE, SECRET, CONFIG_MAP)
        return super().get(kind, namespace, name)

    def list(self, *_: Any) -> tuple[list[Any], int]:
        host, _, _ = self.pod.address.rpartition(":")
        entry = {"addresses": [host], "targetRef": {"name": self.pod.pod}}
        return [{"addressType": "IPv4", "endpoints": [entry]}], 1

    def create(self, _kind: Any, _namespace: str, body: Any) -> Any:
        self.written.append(body)
        return body | {"metadata": body["metadata"] | {"uid": body["metadata"]["name"], "resourceVersion": "1"}}

    def update_status(self, _kind: Any, _namespace: str, _name: str, body: Any) -> Any:
        self.written.append(body)
        version = str(int(self.item["metadata"]["resourceVersion"]) + 1)
        self.item |= {"status": body["status"], "metadata": self.item["metadata"] | {"resourceVersion": version}}
        return self.item


def rolling(pod: Endpoint) -> dict[str, Any]:
    """An adapter is in the store, and is to be loaded by the pod and verified."""
    accepted = {"name": "train", "attempt": 1, "digest": digest(9)}
    rollout = {"digest": digest(1), "run": "run", "iteration": 1, "runCreated": START.isoformat(), "runPath": "runs/r"}
    rollout |= {"workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}}, "onServer": True}
    rollout |= {"staged": digest(8), "train": accepted, "validated": accepted, "test": accepted}
    asked = {"port": int(pod.address.rpartition(":")[2]), "credentialsRef": {"name": "llm-key"}}
    asked |= {"tls": {"serverName": NAME, "caBundleRef": {"name": "corp-ca"}}}
    metadata = {"name": "severity", "namespace": "review", "uid": "0123456789", "generation": 1}
    return {
        "metadata": metadata | {"resourceVersion": "1"},
        "spec": {"target": {"vllm": TARGETS["vllm"] | asked}},
        "status": {"rollout": rollout, "rollouts": 1},
    }


def test_the_key_goes_to_the_pods_and_nowhere_else(
    keeper: Endpoint, pki: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Status, events, Jobs and logs of looks with a wrong key, no right, no key, and of a load and a verification."""
    api = Recording(rolling(keeper), keeper, (pki / "ca.pem").read_text())
    tools: Any = Tools(api, Cache(), Settings({"operator": "o:1"}, ""), lambda: None)  # type: ignore[arg-type]
    tools.cache.update(DEPLOYMENT, api.item)
    failures, now, told = Failures(), START, list[tuple[str, str]]()

    def look(held: Any) -> None:
        nonlocal now
        now += timedelta(seconds=400)
        api.found["secrets"] = held
        reconcile_deployment(tools, failures, "review", "severity", now)
        ready = next(entry for entry in api.item["status"]["conditions"] if entry["type"] == "Ready")
        told.append((ready["reason"], ready["message"]))

    wrong, right = secret({"apiKey": f"{KEY}-old"}), secret({"apiKey": KEY})
    with caplog.at_level(logging.DEBUG):
        for held in (ApiError(403, "Forbidden", "no"), None, secret({"apiKey": f"{KEY}\n"}), wrong, right, right):
            look(held)
    reasons = [reason for reason, _ in told]
    assert reasons == ["TargetSecret"] * 3 + ["TargetKeyRefused", "Loading", "Verifying"], told
    assert "create a Role" in told[0][1] and "create it" in told[1][1] and "line break" in told[2][1]
    (job,) = [body for body in api.written if body.get("kind") == "Job"]
    env = {entry["name"]: entry for entry in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    ref = {"name": "llm-key", "key": "apiKey", "optional": False}
    assert env["FLYWHEEL_SERVING_API_KEY"]["valueFrom"] == {"secretKeyRef": ref}
    assert env["FLYWHEEL_SERVING_CA"]["value"] == "/etc/flywheel/serving/ca.pem"
    kinds = [body["kind"] for body in api.written]
    assert {"AdapterDeployment", "Event", "Job"} <= set(kinds)
    everything = f"{json.dumps(api.written)} {json.dumps(api.item)} {caplog.text} {told}"
    assert KEY not in everything and base64.b64encode(KEY.encode()).decode()[:12] not in everything
