"""A workspace whose files are kept in a bucket: the step works in a folder of its pod, and a sidecar brings and takes.

The step holds no key and needs no S3 library: it asks, and goes on when it is done. What another step may write at any
time (records of the ledger, openings) is asked for each time; all else is brought once, at the beginning.
Must not know how the bucket is asked.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from flywheel.api.conditions import Reason
from flywheel.api.request import StepRequest
from flywheel.workspace.digest import canonical_json
from flywheel.workspace.store import Workspace

Operation = Literal[
    "inputs", "sealed", "record", "records", "put", "create", "delete", "commit", "keep", "folders", "remove",
    "source", "bring", "put_revision",
]  # fmt: skip


class RemoteError(Exception):
    """The bucket cannot be used as it is; it, or what the resource says of it, can be mended."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Ask(Protocol):
    """Has an operation done (workspace/staging.py); raises RemoteError."""

    def __call__(self, operation: Operation, *paths: str) -> Any: ...


class RemoteWorkspace(Workspace):
    """As Workspace; what it says is written, is written in the bucket."""

    def __init__(self, root: str | Path, request: StepRequest, ask: Ask) -> None:
        super().__init__(root)
        self._records = [f"{folder}/" for folder in request.also_writable]
        self._output = f"{request.output}/"
        self._ask = ask

    def begin(self) -> None:
        """Bring what the step's request names, and nothing else."""
        self._ask("inputs")

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder, now."""
        if self._is_record(path):
            self._ask("record", path)
        elif path.startswith(self._output):
            self._ask("sealed", path)
        return super().exists(path)

    def open(self, path: str) -> BinaryIO:
        """Open a regular file for reading, a record as it is now; raises FileNotFoundError."""
        if self._is_record(path):
            self._ask("record", path)
        return super().open(path)

    def files(self, path: str) -> list[str]:
        """Regular files below a folder, relative to it, sorted; raises UnsafePathError for links."""
        if self._is_record(f"{path}/"):
            self._ask("records", path)
        return super().files(path)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file; a record is in the bucket when this returns, anything else once its folder is committed."""
        super().write_bytes(path, data)
        if self._is_record(path):
            self._ask("put", path)

    def create_json(self, path: str, value: Any) -> bool:
        """Write a record that nothing changes afterwards; False where there is such a record already."""
        super().write_bytes(path, canonical_json(value) + b"\n")
        return bool(self._ask("create", path))

    def unlink(self, path: str) -> None:
        """Remove a record that may be there."""
        super().unlink(path)
        self._ask("delete", path)

    def commit(self, folder: str) -> None:
        """Put a sealed folder into the bucket, its manifest last; raises FileExistsError where another is there."""
        if not self._ask("commit", folder, folder):
            raise FileExistsError(errno.EEXIST, "was finished by another pod with another content", folder)

    def keep(self, folder: str) -> None:
        """Put what there is of an attempt into the bucket, for the next to go on from."""
        self._ask("keep", folder)

    def rename(self, old: str, new: str) -> None:
        """Commit a sealed folder under its name; raises FileExistsError, and brings the other, when that is taken."""
        if not self._ask("commit", old, new):
            raise FileExistsError(errno.EEXIST, "was finished by another attempt", new)
        super().rename(old, new)

    def folders(self, path: str) -> list[str]:
        """Workspace paths of the folders directly in a folder of the bucket, sorted."""
        return list(self._ask("folders", path))

    def remove(self, path: str) -> int:
        """Remove a folder from the bucket; the bytes that its objects had."""
        return int(self._ask("remove", path))

    def _is_record(self, path: str) -> bool:
        return path.startswith(tuple(self._records))
