"""prepare reads objects of buckets through its sidecar, a process of its own before a real S3 server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from s3_server import KEY, SECRET, Server

from flywheel.workspace.sidecar import Sidecar, SidecarError

ROOT = Path(__file__).parents[3]
TASK = {
    "instructions": "Rate.",
    "inputSchema": {},
    "outputSchema": {},
    "label": {"path": "issue_type", "order": ["major", "minor"]},
}
SOURCE = {"name": "findings", "truth": "Rule", "group": "file", "path": "_fetched/findings"}


@pytest.fixture
def source(bench: Any, s3: Server) -> dict[str, Any]:
    """The findings as an object of a bucket, and no longer on the workspace."""
    place = s3.place()
    target = s3.folder / place.bucket / "labelled" / "items.jsonl"
    target.parent.mkdir()
    shutil.copyfile(bench.findings, target)
    said = {"endpoint": place.endpoint, "bucket": place.bucket, "secretRef": {"name": "labelled"}}
    return SOURCE | {"s3": {**said, "key": "labelled/items.jsonl"}}


@contextmanager
def fetching(bench: Any, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **secret: str) -> Iterator[Path]:
    """The sidecar of a prepare on a claim: it has no bucket but the source's."""
    keys = {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "HOSTS": "127.0.0.1"} | secret
    parameters = {"task": TASK, "template": "", "sources": [source], "poolsKey": "k", "ratios": {}}
    asked = bench.environment("prepare", "curricula/review/severity-1", parameters)
    with tempfile.TemporaryDirectory() as folder:  # a socket's path has room for 107 bytes
        path = Path(folder) / "socket"
        env = {name: asked[name] for name in ("FLYWHEEL_REQUEST", "FLYWHEEL_WORKSPACE", "PYTHONPATH")}
        env |= {"PATH": os.environ["PATH"], "FLYWHEEL_SOCKET": str(path)}
        env |= {f"FLYWHEEL_SOURCE_0_{name}": value for name, value in keys.items()}
        process = subprocess.Popen([sys.executable, "-m", "flywheel.workspace.sidecar"], env=env)
        monkeypatch.setenv("FLYWHEEL_SOURCES", str(path))
        try:
            yield path
        finally:
            process.kill()
            process.wait()


def test_an_object_is_read_and_named_by_its_content(
    bench: Any, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fetching(bench, source, monkeypatch):
        ran = bench.prepare(sources=[source])
    assert ran.code == 0, ran.log
    assert sum(ran.result.figures.items.values()) > 250
    shutil.rmtree(bench.root / "_fetched")
    there = bench.prepare(sources=[SOURCE | {"path": "datasets/findings.jsonl"}])
    assert there.result.manifest == ran.result.manifest, "where it lies says nothing of what is in it"


def test_the_sidecar_fetches_what_the_request_names_and_nothing_else(
    bench: Any, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fetching(bench, source, monkeypatch) as socket:
        with pytest.raises(SidecarError, match="ForbiddenError"):
            Sidecar(socket)("source", "_fetched/other")
        assert Sidecar(socket)("source", "_fetched/findings") is True
    assert [path.name for path in (bench.root / "_fetched").iterdir()] == ["findings"]


@pytest.mark.parametrize(
    ("changes", "secret", "reason", "words"),
    [
        ({"key": "items.jsonl"}, {}, "SourceMissing", "there is no object items.jsonl in bucket"),
        ({"bucket": "nowhere"}, {}, "BucketMissing", "source findings: there is no bucket nowhere"),
        ({}, {"SECRET_ACCESS_KEY": "hunter2"}, "SourceKeyRefused", "refuses the key of Secret labelled"),
        ({}, {"HOSTS": "s3.example.com"}, "SourceSecret", "sources[findings].dataset.s3.endpoint is not among"),
        ({}, {"ACCESS_KEY_ID": ""}, "SourceSecret", "sources[findings].dataset.s3.secretRef needs the keys"),
    ],
)
def test_what_people_can_mend_is_said_and_tried_later(
    bench: Any,
    source: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    secret: dict[str, str],
    reason: str,
    words: str,
) -> None:
    source = source | {"s3": source["s3"] | changes}
    with fetching(bench, source, monkeypatch, **secret):
        ran = bench.prepare(sources=[source])
    assert (ran.code, ran.result.error.reason) == (75, reason), ran.log
    assert words in ran.result.error.message
    assert "hunter2" not in ran.log and SECRET not in ran.log
