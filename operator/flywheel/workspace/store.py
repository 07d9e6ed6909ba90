"""Files of the workspace: relative paths only, atomic writes.

Must not know what the files mean. Here they are those of a folder, such as a mounted volume; workspace/remote.py is
the same for a folder whose files are kept in a bucket.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from flywheel.workspace.digest import canonical_json, digest_stream

_PATH = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\Z")


class UnsafePathError(ValueError):
    """A path that is absolute, not normalised, or leads through a link."""


def is_path(text: str) -> bool:
    """Whether a text is a relative path without dot segments."""
    return _PATH.match(text) is not None


class Workspace:
    """A folder that holds curricula, runs, ledger and adapters.

    >>> Workspace("/workspace").read_json("runs/review/x/manifest.json")  # doctest: +SKIP
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()

    def begin(self) -> None:
        """Bring what the step's request names. On a volume it is there."""

    def local(self, path: str) -> Path:
        """The file-system path of a workspace path, for libraries that want one.

        Raises UnsafePathError for a path that could leave the workspace.
        """
        if not is_path(path):
            raise UnsafePathError(f"{path!r} is not a relative path without dot segments")
        full = self.root / path
        probe = self.root
        for segment in path.split("/"):
            probe = probe / segment
            if probe.is_symlink():
                raise UnsafePathError(f"{path!r} leads through the symbolic link {segment!r}")
        return full

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""
        return self.local(path).exists()

    def open(self, path: str) -> BinaryIO:
        """Open a regular file for reading; raises FileNotFoundError."""
        return self.local(path).open("rb")

    def read_bytes(self, path: str) -> bytes:
        """All of a file."""
        with self.open(path) as stream:
            return stream.read()

    def read_json(self, path: str) -> Any:
        """A JSON file."""
        return json.loads(self.read_bytes(path))

    def read_jsonl(self, path: str) -> Iterator[Any]:
        """The values of a JSONL file, one by one."""
        with self.open(path) as stream:
            for line in stream:
                if line.strip():
                    yield json.loads(line)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write under a temporary name, sync, rename: readers see all of it or nothing."""
        target = self.local(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # In pods every process is number 1, and two may write the same ledger entry.
        temporary = target.with_name(f"tmp-{token_hex(6)}-{target.name}")
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        sync_folder(target.parent)

    def write_json(self, path: str, value: Any) -> None:
        """Write canonical JSON."""
        self.write_bytes(path, canonical_json(value) + b"\n")

    def write_jsonl(self, path: str, values: Iterable[Any]) -> None:
        """Write one canonical JSON value a line."""
        self.write_bytes(path, b"".join(canonical_json(value) + b"\n" for value in values))

    def create_json(self, path: str, value: Any) -> bool:
        """Write canonical JSON that nothing changes afterwards; False where there is such a file already."""
        if self.exists(path):
            return False
        self.write_json(path, value)
        return True

    def unlink(self, path: str) -> None:
        """Remove a file that may be there."""
        self.local(path).unlink(missing_ok=True)

    def commit(self, folder: str) -> None:
        """Make a sealed folder known; raises FileExistsError where it is known with another content.

        On a volume it is, once its manifest is written.
        """

    def keep(self, folder: str) -> None:
        """Let a later attempt find what this one has so far. On a volume it does."""

    def rename(self, old: str, new: str) -> None:
        """Put a sealed folder in place; raises OSError when the new name is taken."""
        source, target = self.local(old), self.local(new)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        sync_folder(target.parent)

    def files(self, path: str) -> list[str]:
        """Regular files below a folder, relative to it, sorted; raises UnsafePathError for links."""
        base = self.local(path)
        found: list[str] = []
        for entry in sorted(base.rglob("*")):
            relative = entry.relative_to(base).as_posix()
            if entry.is_symlink():
                raise UnsafePathError(f"{path}/{relative} is a symbolic link")
            if entry.is_file():
                found.append(relative)
        return found

    def folders(self, path: str) -> list[str]:
        """Workspace paths of the folders directly in a folder, sorted; none where it is missing. Links are left out."""
        base = self.local(path)
        if not base.is_dir():
            return []
        return [f"{path}/{entry.name}" for entry in sorted(base.iterdir()) if entry.is_dir() and not entry.is_symlink()]

    def remove(self, path: str) -> int:
        """Remove a folder and all in it; links are removed, never followed. The bytes that its files had."""
        base = self.local(path)
        size = sum(entry.lstat().st_size for entry in base.rglob("*") if not entry.is_dir())
        shutil.rmtree(base)
        return size

    def digest(self, path: str) -> str:
        """Digest of a file's bytes."""
        with self.open(path) as stream:
            return digest_stream(stream)

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return self.local(path).stat().st_size


def sync_folder(folder: Path) -> None:
    """Have a folder's names on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
