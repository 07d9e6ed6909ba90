"""A workspace in a bucket on a real node: each pod has its sidecar, which alone has the key, and the run completes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Namespace, curriculum, few_findings, kubectl, small_run
from s3_server import KEY, SECRET, Server, built, running

from flywheel.api.workspace import S3


@pytest.fixture
def server(operator: str, tmp_path: Path) -> Iterator[Server]:
    """A real S3 server of this machine, at the address that pods know the node by."""
    del operator
    address = '{.items[0].status.addresses[?(@.type=="InternalIP")].address}'
    with running(built(), tmp_path, address=kubectl("get", "nodes", "-o", f"jsonpath={address}")) as made:
        yield made


def test_a_run_on_a_bucket_completes_and_only_sidecars_have_the_key(empty: Namespace, server: Server) -> None:
    """From the data to the adapter: all of it is in the bucket, and the claim holds the base model alone."""
    place = server.place()
    findings = server.files(place) / "datasets" / "findings.jsonl"
    findings.parent.mkdir(parents=True)
    findings.write_text(few_findings())
    empty.load("student")
    empty.start_teacher()
    empty.apply(_secret(place))
    empty.apply(curriculum(workspace={"s3": place.to_json_object()}))
    empty.kubectl("wait", "--for=condition=Ready", "curr/code-review-severity", "--timeout=180s")
    empty.apply(small_run("in-bucket"))
    empty.wait_reason("fwr", "in-bucket", "Completed", "MaxIterations", seconds=900)
    (iteration,) = empty.get("fwr", "in-bucket")["status"]["history"]
    assert {step["attempt"] for step in iteration["steps"]} == {1}
    assert list(server.files(place).glob(f"runs/{empty.name}/*/iter-1/train/a1/adapter/adapter_model.safetensors*"))
    pods = json.loads(empty.kubectl("get", "pods", "-l", "flywheel.dev/owner=in-bucket", "-o", "json"))["items"]
    assert len(pods) == 7, "validate and preflight, and the five steps of an iteration"
    for pod in pods:
        (sidecar,), (step,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
        assert "bucket" in _secrets(sidecar) and "bucket" not in _secrets(step)


def _secrets(container: dict[str, Any]) -> set[str]:
    references = [entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if "valueFrom" in entry]
    return {reference["name"] for reference in references}


def _secret(place: S3) -> dict[str, object]:
    host = place.endpoint.removeprefix("http://").rpartition(":")[0]
    data = {"accessKeyId": KEY, "secretAccessKey": SECRET, "hosts": host}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"}, "stringData": data}
