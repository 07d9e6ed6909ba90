"""Code out of a unified diff: the new side of the hunk that holds a line. Must not know files."""

from __future__ import annotations

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet


class NoCodeError(ValueError):
    """The diff does not show that code."""


def read_diff(text: str) -> PatchSet:
    """The diff's files and hunks. Raises NoCodeError where it is none."""
    try:
        patch = PatchSet(text)
    except UnidiffParseError as error:
        raise NoCodeError("diff is no unified diff: send what `git diff` prints, whole") from error
    if not patch:
        raise NoCodeError("diff changes no file: send what `git diff` prints")
    return patch


def code_at(patch: PatchSet, file: str, line: int) -> str:
    """The code around a line of the changed file. Raises NoCodeError where the diff does not show it."""
    for changed in patch:
        if changed.path != file:
            continue
        for hunk in changed:
            if hunk.target_start <= line < hunk.target_start + hunk.target_length:
                return "".join(str(entry.value) for entry in hunk.target_lines())
        raise NoCodeError(f"the diff does not show line {line} of {file}: send code instead of file and line")
    raise NoCodeError(f"the diff does not change {file}: name a file as the diff does, without a/ and b/")
