"""Servers that want a credential and speak TLS: a real tritonserver, and the doubles of vLLM and NIM."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificates

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import Reason
from flywheel.serving.access import Access, Server, credential, trust
from flywheel.serving.calls import Endpoint, LoadModel
from flywheel.serving.drivers import look_at_all, perform
from flywheel.serving.triton import TritonPod

from .bed import QUESTIONS, Bed, deployed_on, offer, said
from .server import MODEL, Models
from .test_by_name import Start, bed_of, double, name, prompts_of

__all__ = ["double"]

NAME, KEY = "serving.review.svc", "s3cret-0d9e4f"
SECRET: dict[Server, dict[str, str]] = {
    "triton": {"header": "admin-key", "value": KEY},
    "vllm": {"apiKey": KEY},
    "nim": {"apiKey": KEY},
}


@dataclass(frozen=True)
class Keys:
    """What the servers have, and what those need who ask them."""

    folder: Path

    def access(self, kind: Server, key: str | None = KEY, ca: str = "ca", server_name: str = NAME) -> Access:
        """How pods are asked; or how they should not be."""
        held = {part: key if value == KEY else value for part, value in SECRET[kind].items() if key is not None}
        bundle = (self.folder / f"{ca}.pem").read_text()
        return Access(trust(server_name, bundle, "bundle"), credential(kind, held, "s") if held else None)

    def guard(self, bed: Bed, kind: Server) -> None:
        """As the operator and the pods of verify have them."""
        value = bed.deployment.to_json_object()
        tls = {"serverName": NAME, "caBundleRef": {"name": "serving-ca"}}
        value["spec"]["target"][kind] |= {"credentialsRef": {"name": "serving-key"}, "tls": tls}
        bed.deployment = AdapterDeployment.model_validate(value)
        bed.access = self.access(kind)
        given = {"HEADER": "admin-key", "VALUE": KEY} if kind == "triton" else {"API_KEY": KEY}
        given |= {"CA": str(self.folder / "ca.pem")}
        bed.environment = {f"FLYWHEEL_SERVING_{part}": text for part, text in given.items()}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(make_certificates(tmp_path_factory.mktemp("keys"), f"DNS:{NAME}"))


def always() -> None:
    """One operator needs no Lease."""


def refused(bed: Bed, access: Access, reason: Reason, words: str) -> None:
    """What a look and a load say of it: the same, in one line, without the key."""
    (endpoint,), target = bed.service.endpoints(), bed.deployment.spec.target
    (view,) = look_at_all((endpoint,), target, always, access)
    calls = (LoadModel(Endpoint("pod-0", endpoint.address), MODEL, "sha256:x"),)
    failures = perform(calls, target, always, access) if target.nim is None else ()
    for text in (view.error, *(failure.message for failure in failures)):
        assert re.search(words, text) and "\n" not in text and KEY not in text, text
    assert view.reason is reason


WRONG: list[tuple[dict[str, Any], Reason, str]] = [
    ({"key": "another"}, Reason.TARGET_KEY_REFUSED, "refuses the (credential|key): .*credentialsRef"),
    ({"key": None}, Reason.TARGET_KEY_REFUSED, "wants a (credential|key): name a Secret"),
    ({"server_name": "x.review.svc"}, Reason.TARGET_CERTIFICATE, "another name than x.review.svc: .*tls.serverName"),
    ({"ca": "other"}, Reason.TARGET_CERTIFICATE, "not trusted: .*tls.caBundleRef"),
]


def test_a_guarded_triton(server: Callable[..., Any], models: Models, tmp_path: Path, keys: Keys) -> None:
    """A whole rollout, verification by its own process included; and what each wrong way is told."""
    options = (
        f"--grpc-restricted-protocol=model-repository,model-config,inference:admin-key={KEY}",
        "--grpc-use-ssl=true",
        f"--grpc-server-cert={keys.folder / 'server.pem'}",
        f"--grpc-server-key={keys.folder / 'server.key'}",
    )
    one, adapter = server(options=options, access=keys.access("triton")), models.adapters["critical"]
    bed = deployed_on(tmp_path, one)
    keys.guard(bed, "triton")
    offer(bed, 1, adapter, adapter.label)
    bed.until_at_rest()
    assert bed.deployment.status.serving is not None, bed.told
    with TritonPod(one.address, access=keys.access("triton")) as pod:
        answer = pod.ask(MODEL, QUESTIONS[0])
    assert (answer.text, answer.served_by) == said(adapter)
    for wrong, reason, words in WRONG:
        refused(bed, keys.access("triton", **wrong), reason, words)
    kept = "".join(file.read_text() for file in bed.workspace.root.rglob("*.json*"))
    assert NAME in kept and KEY not in kept + str(bed.told) + str(bed.deployment)


@pytest.mark.parametrize("kind", ["vllm", "nim"])
def test_a_guarded_double(kind: Server, double: Start, models: Models, tmp_path: Path, keys: Keys) -> None:
    environment = {"DOUBLE_API_KEY": KEY, "DOUBLE_CERTIFICATE": str(keys.folder / "server.pem")}
    environment |= {"DOUBLE_CERTIFICATE_KEY": str(keys.folder / "server.key")}
    one, adapter = double(kind, access=keys.access(kind), environment=environment), models.adapters["critical"]
    bed = bed_of(one, tmp_path)
    keys.guard(bed, kind)
    offer(bed, 1, adapter, adapter.label, prompts_of(models))
    bed.until_at_rest()
    assert bed.deployment.status.alias == name(adapter), bed.told
    for wrong, reason, words in WRONG:
        refused(bed, keys.access(kind, **wrong), reason, words)
