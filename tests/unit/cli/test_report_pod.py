"""The pod that makes a report in the cluster: what it may, and that it is gone afterwards however it ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from resources import flywheel_run, run_spec

from flywheel.api.flywheelrun import FlywheelRun
from flywheel.cli import report_pod
from flywheel.cli.errors import CommandError
from flywheel.cli.naming import Found
from flywheel.controller.resources import RUN

CLAIM = {"workspace": {"persistentVolumeClaim": {"claimName": "files"}}}
BUCKET = {"s3": {"endpoint": "https://s3.example.com", "bucket": "files", "secretRef": {"name": "bucket"}}}
WAITS = {
    "phase": "Pending",
    "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}],
}


class Cluster:
    """One run with one pod of its exam; the report's pod has this status and log."""

    def __init__(self, status: dict[str, Any], log: str = "", step: str = "exam") -> None:
        self.status, self.said = status, log
        self.there: dict[str, dict[str, Any]] = {}
        self.created: list[dict[str, Any]] = []
        container = {"name": "step", "image": "registry.example/operator:7"}
        spec = {"containers": [{"name": "sidecar", "image": "other"}, container], "tolerations": [{"key": "spot"}]}
        labels = {"flywheel.dev/step": step}
        self.steps = [{"metadata": {"name": "exam-1", "labels": labels}, "spec": spec}]

    def pods(self, _: str) -> list[dict[str, Any]]:
        return self.steps

    def get(self, kind: Any, name: str) -> dict[str, Any]:
        return {"kind": kind.kind, "metadata": {"name": name, "managedFields": [{"manager": "kubectl"}]}}

    def create_pod(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        self.there[name] = {**body, "metadata": {**body["metadata"], "uid": "pod-uid"}, "status": self.status}
        self.created.append(body)
        return self.there[name]

    def create_config_map(self, body: dict[str, Any]) -> None:
        self.created.append(body)

    def pod(self, name: str) -> dict[str, Any]:
        return self.there[name]

    def delete_pod(self, name: str) -> None:
        del self.there[name]

    def log(self, _: str, *, follow: bool) -> Iterator[str]:
        assert not follow
        yield from self.said


def found(**status: Any) -> Found[FlywheelRun]:
    """A run in its type and as the API server gave it."""
    item = flywheel_run(run_spec(), status)
    return Found(RUN, item.to_json_object(), item)


def made(cluster: Any, image: str | None = None, **status: Any) -> bytes:
    return report_pod.page_by_pod(cluster, found(**(status or CLAIM)), image)


def test_the_page_is_the_pods_log_and_nothing_is_left() -> None:
    cluster = Cluster({"phase": "Succeeded"}, "<!doctype html>é")
    assert made(cluster) == "<!doctype html>é".encode()
    assert cluster.there == {}
    pod, given = cluster.created
    assert pod["spec"]["containers"][0]["image"] == "registry.example/operator:7"
    assert pod["spec"]["tolerations"] == [{"key": "spot"}]
    assert given["metadata"]["ownerReferences"][0]["uid"] == "pod-uid"
    assert "managedFields" not in given["data"]["resources.yaml"]


@pytest.mark.parametrize(
    ("cluster", "status", "words"),
    [
        (Cluster({"phase": "Failed"}, "error: no run of that name\n"), CLAIM, "^error: no run of that name$"),
        (Cluster({"phase": "Failed"}), CLAIM, "ended as Failed without a word"),
        (Cluster(WAITS), CLAIM, "did not end in 0 s: ErrImagePull: no such image"),
        (Cluster({}, step="train"), CLAIM, "give --image"),
        (Cluster({}), {"workspace": BUCKET}, "is a bucket"),
        (Cluster({}), {"iteration": 0}, "has not begun"),
    ],
)
def test_what_goes_wrong_is_one_line_and_the_pod_is_gone(
    cluster: Cluster, status: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_pod, "WAIT_SECONDS", 0.0)
    with pytest.raises(CommandError, match=words):
        made(cluster, **status)
    assert cluster.there == {}


def test_an_image_can_be_given_where_no_pod_is_left() -> None:
    cluster = Cluster({"phase": "Succeeded"}, "<p>")
    cluster.steps = []
    made(cluster, "mine:1")
    assert cluster.created[0]["spec"]["containers"][0]["image"] == "mine:1"
