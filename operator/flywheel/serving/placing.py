"""Puts an adapter's files where servers read them: a server sees all of a folder or nothing of it. Pure file work."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path
from secrets import token_hex

from flywheel.api.conditions import Reason
from flywheel.workspace.adapter import CONFIG, CONTRACT, WEIGHTS
from flywheel.workspace.program import BadInputError, TryLaterError
from flywheel.workspace.store import sync_folder

# Probes and cards are no server's business.
SERVED_FILES = (CONFIG, WEIGHTS, CONTRACT)
FILE_MODE, FOLDER_MODE = 0o644, 0o755  # the server runs as another user


def place(home: Path, name: str, source: Path, digest: str, *, replace_damaged: bool) -> None:
    """Have the adapter's files in `home/name`, brought by rename. May be repeated.

    A folder of other content is replaced only where no server reads it again while it is loaded.
    """
    target = home / name
    missing = [file for file in SERVED_FILES if not (source / file).is_file()]
    if missing:
        raise BadInputError(f"the published adapter {digest} has no {' and no '.join(missing)}", Reason.ADAPTER_DAMAGED)
    if target.exists():
        if filecmp.cmpfiles(source, target, SERVED_FILES, shallow=False)[0] == list(SERVED_FILES):
            return
        if not replace_damaged:
            raise TryLaterError(
                f"the store's folder {name} is not adapter {digest}: a server may have it loaded, so it is not touched;"
                " unload it everywhere and remove the folder",
                Reason.TARGET_UNAVAILABLE,
            )
        shutil.rmtree(target)
    if not home.exists():
        home.mkdir(parents=True)
        home.chmod(FOLDER_MODE)
    temporary = home / f".tmp-{token_hex(6)}"
    temporary.mkdir()
    for file in SERVED_FILES:
        write(temporary / file, (source / file).read_bytes())
    temporary.chmod(FOLDER_MODE)
    temporary.rename(target)
    sync_folder(home)


def remove(folder: Path) -> None:
    """First out of every server's sight, at once; then file by file."""
    if folder.exists():
        gone = folder.parent / f".tmp-{token_hex(6)}"
        folder.rename(gone)
        shutil.rmtree(gone)


def write(path: Path, data: bytes) -> None:
    """Under a temporary name, synced, renamed: a server sees all of it or nothing."""
    temporary = path.with_name(f".tmp-{token_hex(6)}")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.chmod(FILE_MODE)
    temporary.replace(path)
    sync_folder(path.parent)
