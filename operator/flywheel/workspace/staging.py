"""What the sidecar does for a step: brings from the bucket and puts into it, no more than the step's request names.

A sealed folder is `manifest.json`, written last and once, and its files under the names `<path>.<16 digits of digest>`.
So no write of one attempt can spoil another's, and what was not finished is not seen.
Must not know how it is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from flywheel.api.request import JudgeParameters, PrepareParameters, ReportParameters, StepRequest, TrainParameters
from flywheel.workspace.bucket import Bucket
from flywheel.workspace.digest import canonical_json
from flywheel.workspace.manifest import MANIFEST, File, Manifest, list_files
from flywheel.workspace.reach import within_any, writable_paths
from flywheel.workspace.remote import Operation
from flywheel.workspace.store import Workspace, is_path

log = logging.getLogger("flywheel.staging")

# What an attempt that is still at work has so far; written anew each time.
KEPT = "kept.json"
_FILES: TypeAdapter[list[File]] = TypeAdapter(list[File])
_AT_ONCE = 4
Done = TypeVar("Done")


class ForbiddenError(Exception):
    """The step asked for what its request does not name."""


class Staging:
    """The operations of workspace/remote.py for one step. Each may be repeated."""

    def __init__(self, request: StepRequest, here: Workspace, bucket: Bucket) -> None:
        self._request = request
        self._here = here
        self._bucket = bucket
        self._put: set[str] = set()

    def do(self, operation: Operation, *paths: str) -> Any:
        """One operation; raises ForbiddenError, RemoteError."""
        known: dict[Operation, Callable[..., Any]] = {
            "inputs": self._inputs,
            "sealed": self._sealed,
            "record": self._record,
            "records": self._records,
            "put": self._put_record,
            "create": self._create,
            "delete": self._delete,
            "commit": self._commit,
            "keep": self._keep,
            "folders": self._bucket.folders,
            "remove": self._remove,
        }
        for path in paths:
            self._here.local(path)  # raises UnsafePathError
            if not within_any(path, writable_paths(self._request)):
                raise ForbiddenError(f"step {self._request.step} may not reach {path}")
        return known[operation](*paths)

    def _inputs(self) -> None:
        for entry in self._request.inputs:
            self._sealed(entry.path, entry.parts)
        parameters = self._request.parameters
        if isinstance(parameters, PrepareParameters):
            for source in parameters.sources:
                if source.s3 is None:
                    self._source(source.path)
        if isinstance(parameters, JudgeParameters) and parameters.anchors is not None:
            self._source(parameters.anchors)
        if isinstance(parameters, TrainParameters):
            self._bring_kept(self._request.output)  # of a pod that a queue has stopped
            if parameters.resume is not None:
                self._bring_kept(parameters.resume)
        if isinstance(parameters, ReportParameters):
            self._sealed(parameters.attempt_path)

    def _sealed(self, folder: str, parts: Iterable[str] = ()) -> None:
        """A finished folder, where there is one; whoever reads it checks the digests."""
        data, named = self._bucket.read(f"{folder}/{MANIFEST}"), list(parts)
        if data is None:
            return
        self._here.write_bytes(f"{folder}/{MANIFEST}", data)
        try:
            files = Manifest.model_validate_json(data).files
        except ValidationError:
            return  # the step says so, in its own words
        self._bring(folder, [file for file in files if not named or within_any(file.path, named)])

    def _bring_kept(self, folder: str) -> None:
        """What an attempt left that did not end: all of it or nothing."""
        data = self._bucket.read(f"{folder}/{KEPT}")
        if data is None:
            return
        try:
            files = _FILES.validate_json(data)
        except ValidationError:
            log.warning("%s/%s cannot be read: the attempt begins anew", folder, KEPT)
            return
        self._bring(folder, files)
        if any(not self._is_here(folder, file) for file in files):
            log.warning("%s is not whole: the attempt begins anew", folder)
            self._here.remove(folder)

    def _is_here(self, folder: str, file: File) -> bool:
        path = f"{folder}/{file.path}"
        return self._here.local(path).is_file() and self._here.digest(path) == file.digest

    def _bring(self, folder: str, files: Iterable[File]) -> None:
        def bring(file: File) -> None:
            self._bucket.get(key_of(folder, file.path, file.digest), self._here.local(f"{folder}/{file.path}"))

        _together(bring, files)

    def _source(self, path: str) -> None:
        """A file that people put there, or a folder of them; what no workspace path can name is left out."""
        if self._bucket.get(path, self._here.local(path)):
            return
        keys = self._bucket.sizes(path)
        named = [key for key in keys if is_path(key)]
        if len(named) < len(keys):
            log.warning("%d objects below %s have names that no file of a workspace has", len(keys) - len(named), path)
        _together(self._record, named)

    def _record(self, path: str) -> None:
        if not self._bucket.get(path, self._here.local(path)):
            self._here.local(path).unlink(missing_ok=True)

    def _records(self, folder: str) -> None:
        there = self._bucket.sizes(folder)
        _together(self._record, there)

    def _put_record(self, path: str) -> None:
        self._bucket.put(path, self._here.local(path))

    def _create(self, path: str) -> bool:
        if self._bucket.create(path, self._here.read_bytes(path)):
            return True
        self._record(path)
        return False

    def _delete(self, path: str) -> None:
        self._bucket.delete([path])

    def _commit(self, source: str, target: str) -> bool:
        """Files, then the manifest; False, and the other's folder here, where another was committed before."""
        data = self._here.read_bytes(f"{source}/{MANIFEST}")
        files = Manifest.model_validate_json(data).files
        self._take(source, target, files)
        # Its own answer may have been lost: then the manifest that is there is this one.
        if not self._bucket.create(f"{target}/{MANIFEST}", data) and self._bucket.read(f"{target}/{MANIFEST}") != data:
            if source != target:
                self._sealed(target)
            return False
        self._forget(target, {f"{target}/{MANIFEST}", *_keys(target, files)})
        return True

    def _keep(self, folder: str) -> None:
        files = list_files(self._here, folder)
        self._take(folder, folder, files)
        index = self._here.local(f"{folder}/{KEPT}")
        self._here.write_bytes(f"{folder}/{KEPT}", canonical_json([file.to_json_object() for file in files]))
        self._bucket.put(f"{folder}/{KEPT}", index)
        index.unlink()
        self._forget(folder, {f"{folder}/{KEPT}", *_keys(folder, files)})

    def _take(self, source: str, target: str, files: Iterable[File]) -> None:
        def put(file: File) -> None:
            key = key_of(target, file.path, file.digest)
            if key not in self._put:
                self._bucket.put(key, self._here.local(f"{source}/{file.path}"))
                self._put.add(key)

        _together(put, files)

    def _forget(self, folder: str, kept: set[str]) -> None:
        """Remove what a killed attempt, or an older checkpoint, left in a folder."""
        left = [key for key in self._bucket.sizes(folder) if key not in kept]
        self._bucket.delete(left)
        self._put -= set(left)

    def _remove(self, folder: str) -> int:
        """The manifest first: what is half removed is not taken for finished."""
        sizes = self._bucket.sizes(folder)
        first = [key for key in sizes if key.endswith(f"/{MANIFEST}")]
        self._bucket.delete(first)
        self._bucket.delete([key for key in sizes if key not in first])
        return sum(sizes.values())


def key_of(folder: str, path: str, digest: str) -> str:
    """The key of a sealed folder's file."""
    return f"{folder}/{path}.{digest.removeprefix('sha256:')[:16]}"


def _keys(folder: str, files: Iterable[File]) -> set[str]:
    return {key_of(folder, file.path, file.digest) for file in files}


def _together(do: Callable[[Done], None], what: Iterable[Done]) -> None:
    """Several at once; raises the first failure."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(do, what))
