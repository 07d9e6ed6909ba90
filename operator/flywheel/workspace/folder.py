"""Reads a folder that somebody else filled: regular files only, never through a link, in the same order everywhere.

Must not know what the files mean.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

DEEPEST = 64  # folders within each other: each costs an open file


@dataclass(frozen=True)
class Found:
    """A file by its path in the folder, or what else is there by the reason why it is none.

    `read`: at most so many bytes of it, while the walk is there; raises OSError.
    """

    path: str
    reason: str | None = None
    read: Callable[[int], bytes] = lambda _: b""


def walk(top: Path, skipped: Callable[[str], bool]) -> Iterator[Found]:
    """Files of a folder before those of its folders, sorted by name. `skipped`: folders to stay out of, by name."""
    errors: list[OSError] = []
    for root, folders, files, handle in os.fwalk(top, onerror=errors.append):
        base = os.path.relpath(root, top)
        prefix = "" if base == "." else f"{base}/"
        for name in sorted(files):
            yield _file(prefix, name, handle)
        inside: list[str] = []
        for name in sorted(folders):
            if _is_link(name, handle):
                yield Found(prefix + name, "SymbolicLink")
            elif skipped(name) or prefix.count("/") >= DEEPEST:
                yield Found(prefix + name, "SkippedFolder")
            else:
                inside.append(name)
        folders[:] = inside
    for error in errors:
        yield Found(Path(os.fsdecode(error.filename)).name, "Unreadable")


def _file(prefix: str, name: str, handle: int) -> Found:
    if _is_link(name, handle):
        return Found(prefix + name, "SymbolicLink")
    return Found(prefix + name, read=lambda most: _read(name, handle, most))


def _is_link(name: str, handle: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode)
    except FileNotFoundError:  # gone since it was listed: opening it will say so
        return False


def _read(name: str, handle: int, most: int) -> bytes:
    # A pipe would be waited for without end, and may have taken the file's place since.
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{name} is no regular file")
        return stream.read(most)
