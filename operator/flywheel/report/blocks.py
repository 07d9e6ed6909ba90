"""What a page is made of. All of it is text and numbers: markup is the templates' alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flywheel.report.charts import Chart
from flywheel.report.run import Run


@dataclass(frozen=True)
class Cell:
    """A cell of a table. `shade`: 0 to 100, how strongly it is coloured; `mono`: a digest or path."""

    text: str
    number: bool = False
    mono: bool = False
    shade: int | None = None


@dataclass(frozen=True)
class Table:
    """Rows under column names; the first cell of a row names it."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    caption: str
    entries: Sequence[tuple[str, Cell]]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True)
class Figure:
    """A chart, in words first."""

    caption: str
    chart: Chart
    note: str = ""
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True)
class Sample:
    """A question as it was asked, and what was said to it."""

    heading: str
    right: bool
    fields: Sequence[tuple[str, str]]
    answers: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Samples:
    """Questions with answers."""

    caption: str
    samples: Sequence[Sample]
    kind: str = field(default="samples", init=False)


Block = Table | Facts | Figure | Samples
# Raises MissingError where what it shows is not there.
Maker = Callable[[Run], Block]


def text(value: object) -> Cell:
    """A cell of words."""
    return Cell("" if value is None else str(value))


def mono(value: object) -> Cell:
    """A cell of a digest, a path or a name in a file."""
    return Cell("" if value is None else str(value), mono=True)


def count(value: int | None) -> Cell:
    """A cell of a whole number."""
    return Cell("" if value is None else f"{value:,}", number=True)


def share(value: float | str | None, places: int = 4) -> Cell:
    """A cell of an accuracy or another share, with the places that status has."""
    return Cell("" if value is None else f"{float(value):.{places}f}", number=True)


def interval(low: float | str, high: float | str) -> Cell:
    """A cell of the two ends of an interval."""
    return Cell(f"{float(low):.4f} to {float(high):.4f}", number=True)
