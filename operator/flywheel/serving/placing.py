"""Puts an adapter's files where servers read them: a server sees all of a folder or nothing of it. Pure file work."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
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
        if _same(source, target):
            return
        if not replace_damaged:
            raise TryLaterError(
                f"the store's folder {name} is not adapter {digest}: a server may have it loaded, so it is not touched;"
                " unload it everywhere and remove the folder",
                Reason.TARGET_UNAVAILABLE,
            )
        remove(target)
    if not home.exists():
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(FOLDER_MODE)
    try:
        bring_folder(target, {file: (source / file).read_bytes() for file in SERVED_FILES})
    except OSError:
        if not _same(source, target):  # else another deployment has brought it meanwhile
            raise
        sync_folder(home)


def bring_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """By rename, with its files, which may be in folders of it. Raises OSError where there is one."""
    temporary = target.parent / f".tmp-{token_hex(6)}"
    temporary.mkdir()
    for name, data in files.items():
        (temporary / name).parent.mkdir(exist_ok=True)
        write(temporary / name, data)
    for folder in {temporary, *((temporary / name).parent for name in files)}:
        folder.chmod(FOLDER_MODE)
    try:
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary)
        raise
    sync_folder(target.parent)


def _same(source: Path, target: Path) -> bool:
    return filecmp.cmpfiles(source, target, SERVED_FILES, shallow=False)[0] == list(SERVED_FILES)


def remove(folder: Path, unless: Callable[[], bool] = lambda: False) -> None:
    """First out of every server's sight, at once; then file by file. `unless` it is wanted after all by then."""
    gone = folder.parent / f".tmp-{token_hex(6)}"
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    if unless():
        with suppress(OSError):  # who wants it has brought it again
            gone.rename(folder)
            return
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
