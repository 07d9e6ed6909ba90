"""A bucket before a real S3 server: objects, and what is wrong in words."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from s3_server import ACCESS, Server, built, running

from flywheel.api.conditions import Reason
from flywheel.workspace.bucket import Access, Bucket
from flywheel.workspace.remote import RemoteError


@pytest.fixture
def bucket(s3: Server) -> Bucket:
    return Bucket(s3.place(), ACCESS)


def put(bucket: Bucket, tmp_path: Path, key: str, data: bytes) -> None:
    (tmp_path / "source").write_bytes(data)
    bucket.put(key, tmp_path / "source")


@pytest.mark.parametrize("size", [0, 1, 12_000_000])
def test_bytes_come_back(bucket: Bucket, tmp_path: Path, size: int) -> None:
    data = bytes(size)
    put(bucket, tmp_path, "runs/a/weights", data)
    assert bucket.get("runs/a/weights", tmp_path / "deep/copy")
    assert (tmp_path / "deep/copy").read_bytes() == data == bucket.read("runs/a/weights")
    assert bucket.sizes("runs") == {"runs/a/weights": size}


def test_what_is_not_there(bucket: Bucket, tmp_path: Path) -> None:
    assert bucket.read("runs/a") is None
    assert not bucket.get("runs/a", tmp_path / "copy") and not (tmp_path / "copy").exists()
    assert (bucket.sizes("runs"), bucket.folders("runs")) == ({}, [])
    bucket.delete(["runs/a"])
    bucket.delete([])


def test_a_folder_is_not_its_neighbour(bucket: Bucket, tmp_path: Path) -> None:
    for key in ("runs/a/1/x", "runs/a/2/y", "runs/ab/3/z", "runs/a.txt"):
        put(bucket, tmp_path, key, b"1")
    assert set(bucket.sizes("runs/a")) == {"runs/a/1/x", "runs/a/2/y"}
    assert bucket.folders("runs/a") == ["runs/a/1", "runs/a/2"]
    assert bucket.folders("runs") == ["runs/a", "runs/ab"]
    bucket.delete(["runs/a/1/x", "runs/a/2/y"])
    assert set(bucket.sizes("runs")) == {"runs/ab/3/z", "runs/a.txt"}


def test_created_once(bucket: Bucket) -> None:
    assert bucket.create("a", b"first")
    assert not bucket.create("a", b"second")
    assert bucket.read("a") == b"first"


def test_a_prefix_is_another_workspace(s3: Server) -> None:
    place = s3.place()
    other = Bucket(place.model_copy(update={"prefix": "team/other"}), ACCESS)
    assert Bucket(place, ACCESS).create("a", b"1") and other.read("a") is None
    whole = Bucket(place.model_copy(update={"prefix": None}), ACCESS)
    assert whole.read("team/review/a") == b"1"


def test_a_bucket_that_is_not_there_is_not_an_empty_one(s3: Server, tmp_path: Path) -> None:
    gone = Bucket(s3.place().model_copy(update={"bucket": "nowhere"}), ACCESS)
    (tmp_path / "source").write_bytes(b"1")
    for ask in (
        lambda: gone.read("a"),
        lambda: gone.get("a", tmp_path / "copy"),
        lambda: gone.put("a", tmp_path / "source"),
        lambda: gone.create("a", b""),
        lambda: gone.sizes("a"),
        lambda: gone.folders("a"),
    ):
        with pytest.raises(RemoteError, match="there is no bucket nowhere") as refused:
            ask()
        assert refused.value.reason is Reason.BUCKET_MISSING


def test_an_endpoint_that_is_away(s3: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = s3.place().model_copy(update={"endpoint": f"http://127.0.0.1:{free.getsockname()[1]}"})
    away = Bucket(place, ACCESS, patience=timedelta(seconds=0.2))
    for ask in (lambda: away.read("a"), lambda: away.sizes("a"), lambda: away.create("a", b"")):
        with pytest.raises(RemoteError, match="does not answer") as refused:
            ask()
        assert refused.value.reason is Reason.WORKSPACE_UNAVAILABLE


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def test_an_endpoint_with_an_authority_of_its_own(tmp_path: Path) -> None:
    authority, authority_key, request = (tmp_path / name for name in ("ca.crt", "ca.key", "server.csr"))
    certificate, key, folder = (tmp_path / name for name in ("server.crt", "server.key", "buckets"))
    folder.mkdir()
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", "-subj", "/CN=authority", *curve, "-keyout", authority_key, "-out", authority)
    names = ("-subj", "/CN=s3", "-addext", "subjectAltName=IP:127.0.0.1")
    openssl("req", *names, *curve, "-keyout", key, "-out", request)
    signed = ("-CA", authority, "-CAkey", authority_key, "-copy_extensions", "copy")
    openssl("x509", "-req", "-in", request, *signed, "-out", certificate)
    with running(built(), folder, "--cert", certificate, "--key", key) as server:
        place = server.place()
        with pytest.raises(RemoteError, match="caBundleRef"):
            Bucket(place, ACCESS, patience=timedelta(seconds=0.2)).read("a")
        trusted = Bucket(place, replace(ACCESS, ca_bundle=authority.read_bytes()))
        assert trusted.create("a", b"1") and trusted.read("a") == b"1"


def test_the_key_is_in_no_text() -> None:
    assert "hunter2" not in repr(Access("hunter2", "hunter2", ("host",)))
