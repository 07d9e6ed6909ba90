"""A folder that servers read, kept in a bucket as numbered revisions.

    <prefix>/revisions/00000007.json              what the folder holds: paths, digests, keys; created once
    <prefix>/files/00000007-<12 digits>/<path>    what that revision brought; never written again

The highest number counts. A revision is created when all its files are there, so no reader finds half of one.
Must not know the folder (workspace/copied.py), nor what a server does with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Annotated

from pydantic import Field, ValidationError

from flywheel.api.conditions import Reason
from flywheel.api.model import Closed, Digest
from flywheel.workspace.bucket import Bucket
from flywheel.workspace.digest import canonical_json
from flywheel.workspace.remote import RemoteError

REVISIONS, FILES = "revisions", "files"
_NUMBER = re.compile(rf"^(?:{REVISIONS}|{FILES})/([0-9]{{8}})[.-]")
# Below a folder, and nowhere outside; the first name may be hidden.
_PATH = r"\.?[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+"


class Kept(Closed):
    """One file of a revision, and the object that holds it."""

    path: Annotated[str, Field(max_length=1024, pattern=f"^{_PATH}$")]
    digest: Digest
    key: Annotated[str, Field(max_length=1100, pattern=f"^{FILES}/[0-9]{{8}}-[0-9a-f]+/{_PATH}$")]


class Revision(Closed):
    """All files of the folder, sorted by path."""

    version: int = 1
    files: list[Kept] = Field(default_factory=list[Kept], max_length=10_000)


class Revisions:
    """Those of one bucket. Every method raises RemoteError where it cannot be used."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def newest(self) -> int:
        """The number that counts; 0 where there is none yet."""
        return max((_number(key) for key in self._bucket.sizes(REVISIONS)), default=0)

    def read(self, number: int) -> Revision:
        """One of them; an empty one for 0."""
        if number == 0:
            return Revision()
        data = self._bucket.read(_key(number))
        if data is None:
            raise not_whole(number)
        try:
            return Revision.model_validate_json(data)
        except ValidationError as error:
            words = f"revision {number} in the bucket cannot be read: it is of a later version, or was changed by hand"
            raise RemoteError(Reason.TARGET_UNAVAILABLE, words) from error

    def get(self, file: Kept, target: Path) -> bool:
        """Write a file; False where somebody has removed its object."""
        return self._bucket.get(file.key, target)

    def add(self, number: int, kept: list[Kept], changed: Mapping[str, str], folder: Path) -> Revision | None:
        """Create the revision of that number; None where somebody else was faster.

        `kept`: files of the revision before. `changed`: digests of the others by their paths in `folder`.
        """
        home = f"{FILES}/{number:08}-{token_hex(6)}"
        new = [Kept(path=path, digest=digest, key=f"{home}/{path}") for path, digest in changed.items()]
        for file in new:
            self._bucket.put(file.key, folder / file.path)
        revision = Revision(files=sorted([*kept, *new], key=lambda file: file.path))
        data = canonical_json(revision.to_json_object())
        # Its own answer may have been lost: then the revision that is there is this one.
        if not self._bucket.create(_key(number), data) and self._bucket.read(_key(number)) != data:
            return None
        # The number may have been taken, left behind and removed: then this revision was made after a later one.
        return revision if self.newest() == number else None

    def sweep(self, number: int, revision: Revision) -> None:
        """Remove what no reader needs since that revision.

        An object of its number or a lower one that it does not name, no later revision will: each takes over from the
        one before, and adds objects of its own number.
        """
        named = {file.key for file in revision.files}
        left = [key for key in self._bucket.sizes(FILES) if key not in named and 0 < _number(key) <= number]
        left += [key for key in self._bucket.sizes(REVISIONS) if 0 < _number(key) < number]
        self._bucket.delete(left)


def not_whole(number: int) -> RemoteError:
    """A reader was overtaken, and looks again; or somebody has to publish again."""
    words = f"revision {number} in the bucket is not whole: it was replaced just now, or somebody removed files of it"
    return RemoteError(Reason.TARGET_UNAVAILABLE, words)


def _key(number: int) -> str:
    return f"{REVISIONS}/{number:08}.json"


def _number(key: str) -> int:
    """0 for what is none of ours."""
    found = _NUMBER.match(key)
    return int(found[1]) if found else 0
