"""The log: one file, only ever appended to, in the format that a Curriculum reads as RequestLog.

Each finding has a line when it was rated, shown or not, and another one, with `feedback`, when a user said something.
On disk before anybody is answered. Nothing is redacted here: the Curriculum does that before a teacher sees it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

NAME = "requests.jsonl"
Line = dict[str, Any]


class LogError(Exception):
    """The log cannot be used; says why."""


class UnknownFindingError(LookupError):
    """No finding of that id was shown."""


class GivenBeforeError(ValueError):
    """The finding has feedback: two labels for one question would both be thrown away."""


class RequestLog:
    """The log in a folder. One process writes it; what earlier ones wrote is read at the start. Raises LogError."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = Lock()
        self._places: dict[str, int] = {}  # of the lines of shown findings
        self._given: set[str] = set()
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._end = self._read()
        except BlockingIOError as error:
            raise LogError(f"another process writes {self._path}: run one replica for one folder") from error
        except OSError as error:
            raise LogError(f"{self._path} cannot be opened: {error.strerror}") from error

    def close(self) -> None:
        """Let another process write it."""
        os.close(self._file)

    def append(self, lines: Sequence[Line]) -> None:
        """Returns once they are on disk, all or none of them. Raises LogError."""
        with self._lock:
            self._append(lines)

    def give(self, finding: str, feedback: Line) -> None:
        """Append a finding's line again, with feedback. Raises UnknownFindingError, GivenBeforeError, LogError."""
        with self._lock:
            if finding not in self._places:
                raise UnknownFindingError(f"no finding {finding} was shown: the id is that of a reply's finding")
            if finding in self._given:
                raise GivenBeforeError(f"finding {finding} has feedback: the first counts")
            with self._path.open("rb") as stream:
                stream.seek(self._places[finding])
                line = json.loads(stream.readline())
            self._append([line | {"feedback": feedback}])

    def _append(self, lines: Sequence[Line]) -> None:
        raw = [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines]
        try:
            rest = b"".join(raw)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            # Half a line would spoil the next one.
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise LogError(f"{self._path} cannot be written: {error.strerror}") from error
        for line, text in zip(lines, raw, strict=True):
            self._note(line, self._end)
            self._end += len(text)

    def _read(self) -> int:
        """Where the last whole line ends. A line that a killed process left half written was promised to nobody."""
        end = 0
        with self._path.open("rb") as stream:
            for number, text in enumerate(stream, start=1):
                if not text.endswith(b"\n"):
                    os.ftruncate(self._file, end)
                    break
                try:
                    self._note(json.loads(text), end)
                except (ValueError, LookupError, TypeError) as error:
                    raise LogError(f"{self._path} line {number} is not of this log: move the file away") from error
                end += len(text)
        return end

    def _note(self, line: Line, place: int) -> None:
        if "feedback" in line:
            self._given.add(line["id"])
        elif line["shown"]:
            self._places[line["id"]] = place
