"""Faults and what came of them: filled by tests, printed when all tests are over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Row:
    """One fault in one story."""

    story: str
    fault: str
    cases: int = 0
    converged: int = 0
    duplicates: int = 0

    def count(self, cases: int, faults: list[str], duplicates: list[str]) -> None:
        """So many cases came to this: faults, and Jobs made twice."""
        self.cases += cases
        self.converged += 0 if faults else cases
        self.duplicates += len(duplicates)


_rows: list[Row] = []


def add_row(story: str, fault: str) -> Row:
    """A new line, to be filled."""
    _rows.append(Row(story, fault))
    return _rows[-1]


def lines() -> list[str]:
    """The table in Markdown; nothing where nothing was told."""
    if not _rows:
        return []
    head = ["", "| story | fault | cases | converged | duplicate Jobs |", "|---|---|---|---|---|"]
    total = Row("all", "", *(sum(getattr(row, name) for row in _rows) for name in ("cases", "converged", "duplicates")))
    return head + [
        f"| {row.story} | {row.fault} | {row.cases} | {row.converged} | {row.duplicates} |" for row in (*_rows, total)
    ]
