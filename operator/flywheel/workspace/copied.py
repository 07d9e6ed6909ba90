"""A folder that is a copy of what servers read in a bucket (workspace/revisions.py): publish changes it, pods follow.

Its units come and go as a whole: `<name>`, and `.<name>/<name>`, which others name and which therefore come before all
else and go after it. Must not know what a server does with the files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from flywheel.api.conditions import Reason
from flywheel.workspace.digest import digest_stream
from flywheel.workspace.remote import RemoteError
from flywheel.workspace.revisions import Kept, Revision, Revisions, not_whole
from flywheel.workspace.store import UnsafePathError

# Names what else there is, and so is changed after it.
_LAST = "config.pbtxt"
_TEMPORARY = ".tmp-"
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755  # the server runs as another user


class Copy:
    """The folder, which nobody else changes. Raises RemoteError where the bucket cannot be used."""

    def __init__(self, revisions: Revisions, folder: Path) -> None:
        self._revisions = revisions
        self._folder = folder
        # What the folder was last brought to; 0 for nothing.
        self.number = 0
        self._revision = Revision()

    def bring(self) -> None:
        """Have the folder hold the newest revision; where that raises RemoteError, it holds what it held.

        Killed anywhere it serves the revision before or this one: all files are here before the first is put in place.
        """
        number = self._revisions.newest()
        if number == self.number:
            return
        if number == 0:
            words = "the bucket has no revision any more: what is here is kept; was it emptied, or the prefix changed?"
            raise RemoteError(Reason.TARGET_UNAVAILABLE, words)
        revision = self._revisions.read(number)
        for folder in (self._folder, *self._folder.glob(".*/")):
            for left in folder.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(left)
        staged = self._folder / f"{_TEMPORARY}{token_hex(6)}"
        lacking = [file for file in revision.files if _digest(self._folder / file.path) != file.digest]
        for file in lacking:
            if not self._revisions.get(file, staged / file.path) or _digest(staged / file.path) != file.digest:
                raise not_whole(number)
            (staged / file.path).chmod(_FILE_MODE)
        self._put_in_place(lacking, staged)
        shutil.rmtree(staged, ignore_errors=True)
        self._remove_all_but({file.path for file in revision.files})
        self.number, self._revision = number, revision

    def put(self) -> bool:
        """Make what the folder holds the next revision; False where somebody else was faster. May be repeated."""
        digests = {path: _digest(self._folder / path) for path in files_of(self._folder)}
        kept = [file for file in self._revision.files if digests.get(file.path) == file.digest]
        return self._add(kept, {path: digest for path, digest in digests.items() if digest is not None})

    def seed(self) -> bool:
        """Add the units that the bucket does not have yet, and change none that it has; False as above."""
        self.number = self._revisions.newest()
        self._revision = self._revisions.read(self.number)
        there = {_unit(file.path) for file in self._revision.files}
        new = {path: _digest(self._folder / path) for path in files_of(self._folder) if _unit(path) not in there}
        return self._add(self._revision.files, {path: digest for path, digest in new.items() if digest is not None})

    def _add(self, kept: list[Kept], digests: dict[str, str]) -> bool:
        known = {file.path for file in kept}
        changed = {path: digest for path, digest in digests.items() if path not in known}
        if changed or kept != self._revision.files:
            revision = self._revisions.add(self.number + 1, kept, changed, self._folder)
            if revision is None:
                return False
            self.number, self._revision = self.number + 1, revision
        self._revisions.sweep(self.number, self._revision)
        return True

    def _put_in_place(self, lacking: list[Kept], staged: Path) -> None:
        """Units that others name, then new ones, then what is changed in those that are there, what names last."""
        units = {_unit(file.path) for file in lacking}
        for unit in sorted(units, key=lambda unit: (unit[0] != ".", (self._folder / unit).exists(), unit)):
            home = self._folder / unit
            if not home.exists():
                if not home.parent.exists():
                    home.parent.mkdir()
                    home.parent.chmod(_FOLDER_MODE)
                for folder in (staged / unit, *(staged / unit).rglob("*/")):
                    folder.chmod(_FOLDER_MODE)
                (staged / unit).rename(home)
                continue
            inside = [file.path for file in lacking if _unit(file.path) == unit]
            for path in sorted(inside, key=lambda path: (Path(path).name == _LAST, path)):
                (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
                (staged / path).replace(self._folder / path)

    def _remove_all_but(self, named: set[str]) -> None:
        units = {_unit(path) for path in named}
        for unit in sorted(_units(self._folder), key=lambda unit: unit[0] == "."):
            home = self._folder / unit
            if unit not in units:
                gone = home.parent / f"{_TEMPORARY}{token_hex(6)}"
                home.rename(gone)
                shutil.rmtree(gone)
        for path in set(files_of(self._folder)) - named:
            (self._folder / path).unlink()
        for unit in units:  # to Triton an empty folder may be a version
            for inner in sorted((self._folder / unit).rglob("*/"), reverse=True):
                if not any(inner.iterdir()):
                    inner.rmdir()


def files_of(folder: Path) -> list[str]:
    """Files of all units of a folder, sorted; raises UnsafePathError for links."""
    found: list[str] = []
    for unit in _units(folder):
        for path in sorted((folder / unit).rglob("*")):
            if path.is_symlink():
                raise UnsafePathError(f"{path.relative_to(folder)} is a symbolic link")
            if path.is_file():
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def _units(folder: Path) -> Iterator[str]:
    for entry in sorted(folder.iterdir()):
        if not entry.is_dir() or entry.is_symlink() or entry.name.startswith(_TEMPORARY):
            continue
        if not entry.name.startswith("."):
            yield entry.name
            continue
        for inner in sorted(entry.iterdir()):
            if inner.is_dir() and not inner.is_symlink() and not inner.name.startswith(_TEMPORARY):
                yield f"{entry.name}/{inner.name}"


def _unit(path: str) -> str:
    return "/".join(path.split("/")[: 2 if path.startswith(".") else 1])


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return digest_stream(stream)
