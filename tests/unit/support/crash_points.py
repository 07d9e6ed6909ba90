"""Counts every change of files below some folders, or of a bucket, and kills at one of them, as SIGKILL would.

From the kill on no change happens any more, whatever thread asks for it. Python's audit events see every change, also
those that do not go through the Workspace. Each rename has a point before it, with the file cut short as a kill while
it was written leaves it, and one after it, before the folder is synced.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flywheel.workspace.bucket import Bucket

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Where the file descriptor of the folder that a path is relative to stands among an event's arguments.
_FOLDER_FD = {"open": None, "os.mkdir": 2, "os.chmod": 2, "os.remove": 1, "os.rmdir": 1, "os.rename": 2}


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Disk:
    """Changes below `folders`; the one of the number `kill_at` does not happen, nor any later one."""

    folders: tuple[Path, ...]
    kill_at: int | None = None
    changes: list[str] = field(default_factory=list[str])
    dead: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called before the change is made. Raises Killed."""
        path = _path(event, arguments)
        if path is None or not any(path.is_relative_to(folder) for folder in self.folders):
            return
        if event == "os.mkdir" and (path.is_dir() or not path.parent.is_dir()):
            return  # it will change nothing
        self.point(f"{event} {path}", cut_short=path if event == "os.rename" and path.is_file() else None)

    def point(self, what: str, cut_short: Path | None = None) -> None:
        """A place to be killed at. Raises Killed."""
        with self._lock:
            if not self.dead and len(self.changes) != self.kill_at:
                self.changes.append(what)
                return
            if not self.dead and cut_short is not None:
                os.truncate(cut_short, cut_short.stat().st_size // 2)
            self.dead = True
        raise Killed(what)


class DyingBucket(Bucket):
    """A bucket whose every change is a place to be killed at: before it, and before its answer."""

    def put(self, key: str, source: Path) -> None:
        _point(f"put {key}")
        super().put(key, source)
        _point(f"put {key}: answer")

    def create(self, key: str, data: bytes) -> bool:
        _point(f"create {key}")
        made = super().create(key, data)
        _point(f"create {key}: answer")
        return made

    def delete(self, keys: Sequence[str]) -> None:
        if keys:
            _point(f"delete {keys[0]} ...")
        super().delete(keys)
        if keys:
            _point(f"delete {keys[0]} ...: answer")


def _point(what: str) -> None:
    if _watching is not None:
        _watching.point(what)


def _path(event: str, arguments: tuple[Any, ...]) -> Path | None:
    if event == "open" and not _changes(*arguments):
        return None
    if not isinstance(arguments[0], str | os.PathLike):
        return None
    place = _FOLDER_FD[event]
    folder = arguments[place] if place is not None else -1
    return (Path(f"/proc/self/fd/{folder}").readlink() if folder >= 0 else Path()) / arguments[0]


def _changes(path: Any, mode: str | None, flags: int) -> bool:
    """Opening to write; or opening a folder, which is how what was renamed in it is synced."""
    return bool(flags & _WRITING) or (mode is None and isinstance(path, str | os.PathLike) and Path(path).is_dir())


_watching: Disk | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching is not None and event in _FOLDER_FD:
        _watching.change(event, arguments)


sys.addaudithook(_hook)


@contextmanager
def watched(disk: Disk) -> Iterator[Disk]:
    """While entered, changes are counted, and the kill happens; it ends the block and is not passed on."""
    global _watching
    _watching = disk
    try:
        yield disk
    except Killed:
        assert disk.dead
    finally:
        _watching = None
