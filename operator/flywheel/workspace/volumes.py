"""Tells a volume that is full or cannot be written from a program's own errors: people mend it, and the step goes on.

Must not know what a step does.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from flywheel.api.conditions import Reason

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def volume_fault(error: BaseException | None, volumes: tuple[Path, ...]) -> tuple[Reason, str] | None:
    """Reason and words, where an error or one behind it comes of a volume; None where it is the program's own.

    `volumes` are the folders of the claims: what is refused elsewhere is the image's fault, and no wait would mend it.
    """
    while error is not None:
        if isinstance(error, OSError) and (fault := _of(error, volumes)) is not None:
            return fault
        error = error.__cause__ or error.__context__
    return None


def _of(error: OSError, volumes: tuple[Path, ...]) -> tuple[Reason, str] | None:
    path = Path(error.filename) if isinstance(error.filename, str) else None
    ours = path is not None and any(path.is_relative_to(volume) for volume in volumes)
    if error.errno in _FULL:
        # A failed write names no file.
        where = "the workspace" if path is None or ours else str(path.parent)
        return (
            Reason.VOLUME_FULL,
            f"the volume of {where} is full: enlarge it, raise its quota, or remove files from it",
        )
    if error.errno in _REFUSED and ours:
        words = (
            f"the workspace's volume refuses reading or writing ({errno.errorcode[error.errno]}): it must be mounted"
            f" read-write, and its files be open to group {os.getgid()}"
        )
        return Reason.VOLUME_READ_ONLY, words
    return None
