"""A real S3 server over a folder (versitygw, built once by tools/cluster), whose buckets tests see as files."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from built_programs import programs
from processes import free_port

from flywheel.api.workspace import S3
from flywheel.workspace.bucket import Access
from flywheel.workspace.manifest import MANIFEST
from flywheel.workspace.staging import key_of

KEY, SECRET = "tests-key", "tests-secret-4a1c"
ACCESS = Access(KEY, SECRET, ("127.0.0.1",))
# Of a workspace; what else lies beside them is a test's own.
FOLDERS = ("curricula", "runs", "ledger", "openings", "adapters", "deployments", "datasets")
_numbers = count(1)


def built() -> Path:
    """The server's program; raises CalledProcessError with the reason where it cannot be built."""
    return programs("storage") / "versitygw"


@dataclass
class Server:
    """`folder` has the buckets."""

    endpoint: str
    folder: Path

    def place(self) -> S3:
        """A fresh bucket; the workspace is a folder of it."""
        bucket = f"bucket-{next(_numbers)}"
        (self.folder / bucket).mkdir()
        spec = {"endpoint": self.endpoint, "bucket": bucket, "prefix": "team/review", "secretRef": {"name": "bucket"}}
        return S3.model_validate(spec)

    def files(self, place: S3) -> Path:
        """Where the server keeps a workspace's objects."""
        return self.folder / place.bucket / (place.prefix or "")


@contextmanager
def running(program: Path, folder: Path, *options: str | Path, address: str = "127.0.0.1") -> Iterator[Server]:
    """A server; with `--cert` and `--key` among its options one that speaks TLS."""
    port = free_port(address)
    environment = {**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    command = [program, "--port", f"{address}:{port}", "--quiet", "--keep-alive", *options, "posix", folder]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None and time.monotonic() < deadline, "the S3 server does not start"
            with suppress(OSError), socket.create_connection((address, port), 1):
                break
            time.sleep(0.05)
        yield Server(f"{'https' if options else 'http'}://{address}:{port}", folder)
    finally:
        process.kill()
        process.wait()


def fill(objects: Path, view: Path) -> None:
    """Make the bucket hold what a folder holds, as if steps had put it there."""
    _exchange(view, objects, plain_to_key=True)


def show(objects: Path, view: Path) -> None:
    """Make a folder hold what the bucket holds: finished files by their names, all else by its key."""
    _exchange(objects, view, plain_to_key=False)


def _exchange(source: Path, target: Path, *, plain_to_key: bool) -> None:
    for name in FOLDERS:
        shutil.rmtree(target / name, ignore_errors=True)
        sealed = _sealed(source / name)
        names = sealed if plain_to_key else {key: plain for plain, key in sealed.items()}
        for path in (source / name).rglob("*"):
            if path.is_file():
                place = target / names.get(path, path).relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)


def _sealed(folder: Path) -> dict[Path, Path]:
    """Files of finished folders, and where a bucket has each."""
    found: dict[Path, Path] = {}
    for manifest in folder.rglob(MANIFEST):
        with suppress(ValueError, KeyError, TypeError):
            for file in json.loads(manifest.read_bytes())["files"]:
                key = key_of(str(manifest.parent), file["path"], file["digest"])
                found[manifest.parent / file["path"]] = Path(key)
    return found
