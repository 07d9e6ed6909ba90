"""What prepare reads: files of items, and folders of code. Must not know what becomes of it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

from flywheel.api.conditions import Reason
from flywheel.api.item import Unit
from flywheel.api.request import Source
from flywheel.data.repository import LARGEST_FILE, left_out, read_units, skipped_folder, unwanted
from flywheel.data.schemas import TaskSchemas
from flywheel.data.sources import Placed, Reject, lines_of, read_source
from flywheel.workspace.digest import digest_stream
from flywheel.workspace.folder import walk
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError, log
from flywheel.workspace.sidecar import Sidecar
from flywheel.workspace.store import Workspace

SAMPLES = 20  # rejects of one reason that are shown
MOST_FILES, MOST_UNITS = 100_000, 50_000  # of a repository: what fits into prepare's memory
_PATH_REASONS = {
    "NotUtf8": "has a name that is not UTF-8",
    "OtherLanguage": "is of no language that is read",
    "NotSelected": "is not chosen by include and exclude",
    "Generated": "has the name of a generated file",
    "SymbolicLink": "is a symbolic link",
    "SkippedFolder": "is a hidden or vendored folder, or nested too deeply",
    "Unreadable": "cannot be read",
}


@dataclass
class Code:
    """What the repositories hold: a digest of each, their units, and what was left out."""

    digests: dict[str, str] = field(default_factory=dict[str, str])
    units: list[Unit] = field(default_factory=list[Unit])
    rejects: list[Reject] = field(default_factory=list[Reject])


def fetch(sources: Sequence[Source]) -> None:
    """Have the pod's sidecar bring objects of buckets. Raises RemoteError, TryLaterError for one that is missing."""
    for source in sources:
        if source.s3 is not None and not Sidecar(Path(os.environ["FLYWHEEL_SOURCES"]))("source", source.path):
            where = f"object {source.s3.key} in bucket {source.s3.bucket} at {source.s3.endpoint}"
            raise TryLaterError(f"source {source.name}: there is no {where}: put it there", Reason.SOURCE_MISSING)


def digests(attempt: Attempt, sources: Sequence[Source]) -> dict[str, str]:
    """Digests of the files of items by source. Raises TryLaterError for one that is missing."""
    found: dict[str, str] = {}
    for source in sources:
        if source.repository is None:
            with _open(attempt, source) as stream:
                found[source.name] = digest_stream(stream)
    return found


def read_items(attempt: Attempt, sources: Sequence[Source], schemas: TaskSchemas) -> tuple[list[Placed], list[Reject]]:
    """Items and rejects of all files of items. Raises BadInputError where more are broken than the source allows."""
    placed: list[Placed] = []
    rejects: list[Reject] = []
    for source in sources:
        if source.repository is not None:
            continue
        broken: list[Reject] = []
        with _open(attempt, source) as stream:
            for entry in read_source(source, lines_of(stream), schemas):
                if isinstance(entry, Placed):
                    placed.append(entry)
                else:
                    (broken if entry.broken else rejects).append(entry)
        log.info("progress prepare source %s: %d lines rejected", source.name, len(broken))
        if len(broken) > source.max_rejected:
            _refuse(source, broken)
        rejects += broken
    return placed, rejects


def _open(attempt: Attempt, source: Source) -> BinaryIO:
    path = attempt.workspace.local(source.path) if source.volume is None else _mounted(source)
    if not path.is_file():
        where = (
            f"file {source.path} on the workspace" if source.volume is None else f"key {source.path} in its ConfigMap"
        )
        raise TryLaterError(f"source {source.name}: there is no {where}: put it there", Reason.SOURCE_MISSING)
    return attempt.workspace.open(source.path) if source.volume is None else path.open("rb")


def _mounted(source: Source) -> Path:
    """The file of a ConfigMap's key: a link, which the kubelet made, that stays within the volume."""
    volume = Path(source.volume or "").resolve()
    path = (volume / source.path).resolve()
    if not path.is_relative_to(volume):
        raise BadInputError(f"source {source.name}: {source.path} leads out of its volume", Reason.SOURCE_REJECTED)
    return path


def _refuse(source: Source, broken: Sequence[Reject]) -> NoReturn:
    first = broken[0]
    for reject in broken[:SAMPLES]:
        log.error("source %s line %d: %s %s", source.name, reject.line, reject.path, reject.message)
    schema = all(reject.reason in ("SchemaMismatch", "UnknownLabel") for reject in broken)
    where = f"{first.path} " if first.path else ""
    text = (
        f"source {source.name}: {len(broken)} lines rejected, {source.max_rejected} allowed; line {first.line}: "
        f"{where[:80]}{first.message}. "
    )
    advice = (
        "Mend the task's schemas or the lines, or raise maxRejected" if schema else "Mend them, or raise maxRejected"
    )
    raise BadInputError(text + advice, Reason.SCHEMA_MISMATCH if schema else Reason.SOURCE_REJECTED)


def read_code(attempt: Attempt, sources: Sequence[Source]) -> Code:
    """Units of all repositories. Raises TryLaterError for an empty folder, BadInputError for one without any unit."""
    code = Code()
    for source in sources:
        if source.repository is not None:
            _read_repository(attempt, source, code)
    return code


def _read_repository(attempt: Attempt, source: Source, code: Code) -> None:
    top = (Workspace(source.volume) if source.volume is not None else attempt.workspace).local(source.path)
    hasher, files, before = hashlib.sha256(), 0, len(code.units)
    rejects: list[Reject] = []
    for found in walk(top, skipped_folder) if top.is_dir() else ():
        files += 1
        reason = found.reason or (source.repository and unwanted(found.path, source.repository))
        if reason is not None:
            rejects.append(left_out(source, _shown(found.path), reason, _PATH_REASONS[reason]))
            continue
        try:
            data = found.read(LARGEST_FILE + 1)
        except OSError:
            rejects.append(left_out(source, found.path, "Unreadable", _PATH_REASONS["Unreadable"]))
            continue
        hasher.update(f"{found.path}\0{hashlib.sha256(data).hexdigest()}\0".encode())
        for entry in read_units(source, found.path, data):
            if isinstance(entry, Unit):
                code.units.append(entry)
            else:
                rejects.append(entry)
        _require_few(source, files, len(code.units) - before)
    if not files:
        text = f"source {source.name}: the folder {source.path} is missing or empty: put the code there"
        raise TryLaterError(text, Reason.SOURCE_MISSING)
    counts = ", ".join(f"{reason} {count}" for reason, count in Counter(each.reason for each in rejects).most_common())
    log.info("progress prepare source %s: %d units, left out %s", source.name, len(code.units) - before, counts)
    if len(code.units) == before:
        text = f"source {source.name}: no function, class or method found (left out: {counts}): see path and include"
        raise BadInputError(text, Reason.SOURCE_REJECTED)
    code.rejects += rejects
    code.digests[source.name] = f"sha256:{hasher.hexdigest()}"


def _require_few(source: Source, files: int, units: int) -> None:
    if files > MOST_FILES or units > MOST_UNITS:
        text = f"source {source.name}: more than {MOST_FILES} files or {MOST_UNITS} units: name fewer by include"
        raise BadInputError(text, Reason.SOURCE_REJECTED)


def _shown(path: str) -> str:
    """A path as JSON can hold it."""
    return path.encode(errors="backslashreplace").decode()
