"""The ConfigMap that clients read the alias from: written once, ours only, and not where nobody asked for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.controller.alias import Alias, alias_name, observe_alias, write_alias
from flywheel.controller.jobs import Owner

UID, DIGEST = "0123456789", "sha256:" + "a" * 64
OWNER = Owner("flywheel.dev/v1alpha1", "AdapterDeployment", "review", "severity", UID)
REPOSITORY = {"persistentVolumeClaim": {"claimName": "models"}}
TARGETS: dict[str, dict[str, Any]] = {
    "triton": {"serviceRef": {"name": "s"}, "model": "severity", "repository": REPOSITORY},
    "vllm": {"serviceRef": {"name": "s"}, "model": "severity", "baseModel": "student", "store": REPOSITORY},
}


class Server:
    """One ConfigMap of an API server."""

    def __init__(self, found: dict[str, Any] | None = None) -> None:
        self.found, self.asked, self.written = found, 0, list[dict[str, Any]]()

    def get(self, _kind: Any, _namespace: str, _name: str) -> dict[str, Any] | None:
        self.asked += 1
        return self.found

    def apply(self, _kind: Any, _namespace: str, _name: str, body: dict[str, Any]) -> None:
        self.written.append(body)
        self.found = body


def look_and_write(server: Server, kind: str = "vllm", alias: str | None = "severity-aaaaaaaaaaaa") -> Alias:
    serving = {
        "digest": DIGEST,
        "run": "r",
        "iteration": 1,
        "runCreated": "2026-11-21T12:00:00Z",
        "workspace": REPOSITORY,
    }
    deployment = AdapterDeployment.model_validate(
        {
            "metadata": {"name": "severity", "namespace": "review", "uid": UID, "generation": 1},
            "spec": {"target": {kind: TARGETS[kind]}},
            "status": {"alias": alias, "serving": serving} if alias else {},
        }
    )
    tools: Any = SimpleNamespace(api=server)
    found = observe_alias(tools, deployment)
    write_alias(tools, OWNER, found, deployment.status)
    return found


def test_it_says_what_serves_and_belongs_to_the_deployment() -> None:
    server = Server()
    look_and_write(server)
    (body,) = server.written
    assert body["data"] == {"alias": "severity-aaaaaaaaaaaa", "digest": DIGEST}
    assert body["metadata"]["name"] == "severity-alias"
    assert [entry["uid"] for entry in body["metadata"]["ownerReferences"]] == [UID]


def test_one_write_and_then_none_until_it_differs() -> None:
    server = Server()
    for _ in range(3):
        look_and_write(server)
    assert len(server.written) == 1
    look_and_write(server, alias="severity-bbbbbbbbbbbb")
    assert server.written[-1]["data"]["alias"] == "severity-bbbbbbbbbbbb"
    assert server.found is not None
    server.found = {**server.found, "data": {"alias": "by hand"}}
    look_and_write(server)
    assert server.written[-1]["data"]["alias"] == "severity-aaaaaaaaaaaa"


@pytest.mark.parametrize("owners", [[], [{"uid": "another"}], None])
def test_somebody_elses_is_left_alone(owners: Any) -> None:
    server = Server({"metadata": {"name": "severity-alias", "ownerReferences": owners}, "data": {"mine": "kept"}})
    assert look_and_write(server).taken
    assert not server.written


def test_nothing_is_asked_or_written_without_need() -> None:
    server = Server()
    look_and_write(server, kind="triton")
    assert (server.asked, server.written) == (0, [])
    look_and_write(server, alias=None)
    assert (server.asked, server.written) == (1, [])


def test_its_name_fits() -> None:
    assert len(alias_name("d" * 253)) == 253
