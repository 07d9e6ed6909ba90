"""Source files to units that a teacher may be shown: what is left out is counted by reason. Must not know volumes.

Units have no label, so they are never held out and never trained on; and none may show what is held out.
"""

from __future__ import annotations

import codecs
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from flywheel.api.item import Item, Unit
from flywheel.api.repository import Selection
from flywheel.api.request import Source
from flywheel.data.firewall import compared
from flywheel.data.languages import NotParsedError, language_of, pieces
from flywheel.data.near_duplicates import Known, Quoted, sketch
from flywheel.data.normalise import question_id
from flywheel.data.pools import UNSEEN
from flywheel.data.sources import Reject

LARGEST_FILE = 1 << 19  # bytes; what people write is smaller
LONGEST_LINE = 2_000  # characters; code that was minified, or data
_VENDORED = frozenset({"node_modules", "bower_components", "vendor", "third_party", "site-packages", "venv", "dist"})
# In a comment, as generators write it.
_GENERATED = re.compile(
    rb"^[ \t]*(?:#|//|/?\*).*(?:@generated|code generated .*do not edit|auto-?generated)", re.IGNORECASE | re.MULTILINE
)
_HEAD = 2_048  # where files say that they are generated
_GENERATED_NAMES = ("*_pb2.py", "*_pb2_grpc.py", "*.pb.go", "*.min.js", "*.bundle.js")


def skipped_folder(name: str) -> bool:
    """Whether what lies in a folder of this name is not the owner's own code."""
    return name.startswith(".") or name in _VENDORED or name == "__pycache__"


def unwanted(path: str, selection: Selection) -> str | None:
    """Why a file is not read, by its path, or None."""
    if not path.isascii() and path.encode(errors="replace").decode() != path:
        return "NotUtf8"
    if language_of(path) is None:
        return "OtherLanguage"
    chosen = not selection.include or any(fnmatchcase(path, pattern) for pattern in selection.include)
    if not chosen or any(fnmatchcase(path, pattern) for pattern in selection.exclude):
        return "NotSelected"
    if any(fnmatchcase(path, pattern) for pattern in _GENERATED_NAMES):
        return "Generated"
    return None


def read_units(source: Source, path: str, data: bytes) -> Iterator[Unit | Reject]:
    """Units and rejects of one file, in order. `data` may be its first bytes, one more than LARGEST_FILE."""
    selection, language = source.repository, language_of(path)
    if selection is None or language is None:
        raise ValueError(f"{path} of source {source.name} is not to be read")
    fault = _fault(data)
    if fault is not None:
        yield left_out(source, path, *fault)
        return
    try:
        found = list(pieces(data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n"), language))
    except NotParsedError as error:
        yield left_out(source, path, "NotParsed", f"is no {language} that can be parsed", error.line)
        return
    for piece in found:
        if piece.text is None:
            yield left_out(source, path, "UnitTooLong", f"a {piece.kind} is too long", piece.line)
            continue
        question = {selection.field: piece.text}
        yield Unit(
            id=question_id(question),
            question=question,
            kind=piece.kind,
            language=language,
            file=path,
            line=piece.line,
            group=_group(source, path),
            source=source.name,
        )


def _fault(data: bytes) -> tuple[str, str] | None:
    if len(data) > LARGEST_FILE:
        return "FileTooLarge", f"has more than {LARGEST_FILE} bytes"
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return "NotUtf8", f"is not UTF-8 from byte {error.start}"
    if _GENERATED.search(data[:_HEAD]):
        return "Generated", "says that a program wrote it"
    if any(len(line) > LONGEST_LINE for line in text.split("\n")):
        return "Generated", f"has a line of more than {LONGEST_LINE} characters"
    return None


def _group(source: Source, path: str) -> str:
    """The file; or the first folder, where each holds a repository."""
    return path if source.group == "file" else path.partition("/")[0] if "/" in path else source.name


def admit_units(
    units: Iterable[Unit], pool_of: Callable[[str], str], held_out: Collection[Item], threshold: float
) -> tuple[list[Unit], list[Reject]]:
    """The units that a teacher may be shown, once each, in order, and the others.

    A file that holds what is held out, or nearly, is left out as a whole: its classes repeat its methods.
    """
    by_file: defaultdict[tuple[str, str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        by_file[(unit.source, unit.file, next(iter(unit.question)))].append(unit)
    checks = {field: _Check(held_out, field, threshold) for field in {key[2] for key in by_file}}
    kept: dict[str, Unit] = {}
    rejects: list[Reject] = []
    for (_, _, field), found in by_file.items():
        if pool_of(found[0].group) in UNSEEN:
            rejects += [_unit_reject(unit, "TruthUnfit", "its group is held out") for unit in found]
        elif checks[field].shown_by([str(unit.question[field]) for unit in found]):
            rejects += [_unit_reject(unit, "MatchesHeldOut", "its file holds a held-out item") for unit in found]
        else:
            for unit in found:
                if kept.setdefault(unit.id, unit) is not unit:
                    rejects.append(_unit_reject(unit, "Duplicate", "the same unit came before"))
    return list(kept.values()), rejects


class _Check:
    """Whether the units of a file together quote a held-out item, or one of them nearly is one."""

    def __init__(self, held_out: Iterable[Item], field: str, threshold: float) -> None:
        self._near, self._quoted = Known(threshold), Quoted(threshold)
        for item in held_out:
            made = sketch(compared(item.input, [field]))
            self._near.add(item.id, made)
            self._quoted.add(made)

    def shown_by(self, texts: Sequence[str]) -> bool:
        return self._quoted.any_in("\n".join(texts)) or any(self._near.nearest(sketch(each)) for each in texts)


def _unit_reject(unit: Unit, reason: str, message: str) -> Reject:
    return Reject(unit.source, unit.line, reason, unit.file, message, broken=False)


def left_out(source: Source, path: str, reason: str, message: str, line: int = 0) -> Reject:
    """A file, or a place in it, that gives no unit; that is nobody's fault."""
    return Reject(source.name, line, reason, path, message, broken=False)
