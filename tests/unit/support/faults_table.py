"""Faults and what came of them, as tests record them, and as one table of all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass

PROPERTY = "fault"
_HEAD = "| what | fault | cases | converged | duplicate Jobs | duplicate paid calls |"


@dataclass
class Row:
    """One fault in one story or program. A call is paid twice when its recorded reply is asked for again."""

    what: str
    fault: str
    cases: int = 0
    converged: int = 0
    jobs: int = 0
    calls: int = 0

    def count(self, cases: int, faults: list[str], duplicates: list[str]) -> None:
        """So many cases came to this: faults, and Jobs made twice."""
        self.cases += cases
        self.converged += 0 if faults else cases
        self.jobs += len(duplicates)


AddRow = Callable[[str, str], Row]


def lines(rows: Iterable[Row]) -> list[str]:
    """The table in Markdown; nothing where nothing was recorded."""
    known = list(rows)
    if not known:
        return []
    sums = (sum(getattr(row, name) for row in known) for name in ("cases", "converged", "jobs", "calls"))
    told = [" | ".join(str(part) for part in astuple(row)) for row in (*known, Row("all", "", *sums))]
    return ["", _HEAD, "|---|---|---|---|---|---|", *(f"| {line} |" for line in told)]
