"""Charts as geometry: points and lengths in the units of an SVG's view box. Markup is templates/charts.html.j2's.

No library: those that draw SVG bring scripts or fonts, or are larger than this file by far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10

WIDTH, HEIGHT = 720.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 14.0, 12.0, 34.0
_GUTTER, _ROW, _AXIS = 168.0, 26.0, 30.0
_LABEL = 24  # characters of a row's name that fit into the gutter
_MOST_POINTS = 240  # of a line: more cannot be told apart


@dataclass(frozen=True)
class Tick:
    """A place on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Point:
    """A mark with its interval, and what it is in words."""

    x: float
    y: float
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True)
class Series:
    """Points of one colour; `colour` is a class of the style sheet."""

    name: str
    colour: str
    points: Sequence[Point]

    @property
    def path(self) -> str:
        """The line through the points."""
        return " ".join(f"{'L' if place else 'M'}{one.x:g},{one.y:g}" for place, one in enumerate(self.points))


@dataclass(frozen=True)
class LineChart:
    """Lines over iterations or steps; `rules` are levels to compare with."""

    title: str
    x_name: str
    y_name: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    series: Sequence[Series]
    rules: Sequence[Tick]
    marked: bool
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    kind: str = field(default="lines", init=False)

    @property
    def right(self) -> float:
        """Where the plot ends."""
        return self.width - _RIGHT

    @property
    def bottom(self) -> float:
        """Where the plot ends below."""
        return self.height - _BOTTOM


@dataclass(frozen=True)
class Row:
    """A line of a chart of rows: marks with intervals along it."""

    y: float
    label: str
    points: Sequence[tuple[str, Point]]


@dataclass(frozen=True)
class Forest:
    """Values with intervals, a row each."""

    title: str
    ticks: Sequence[Tick]
    zero: float | None
    rows: Sequence[Row]
    legend: Sequence[tuple[str, str]]
    height: float
    width: float = WIDTH
    left: float = _GUTTER
    kind: str = field(default="forest", init=False)

    @property
    def bottom(self) -> float:
        """Where the rows end."""
        return self.height - _AXIS


@dataclass(frozen=True)
class Segment:
    """A part of a bar. `shade`: its place on the ramp, 0 to 100."""

    x: float
    width: float
    shade: int
    text: str


@dataclass(frozen=True)
class Bar:
    """A row of segments."""

    y: float
    label: str
    segments: Sequence[Segment]


@dataclass(frozen=True)
class Bars:
    """Lengths, a row each."""

    title: str
    x_name: str
    ticks: Sequence[Tick]
    bars: Sequence[Bar]
    legend: Sequence[tuple[str, int]]
    height: float
    width: float = WIDTH
    left: float = _GUTTER
    kind: str = field(default="bars", init=False)

    @property
    def bottom(self) -> float:
        """Where the rows end."""
        return self.height - _AXIS


Chart = LineChart | Forest | Bars
# x, y, and the ends of an interval.
Value = tuple[float, float, float | None, float | None]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, at most about `most` of them."""
    span = (high - low) or abs(high) or 1.0
    raw = span / most
    magnitude = 10.0 ** floor(log10(raw))
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor >= raw * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(place * step, 10) for place in range(first, max(last, first + 1) + 1)]


def scaled(value: float, ends: tuple[float, float], onto: tuple[float, float]) -> float:
    """A value between two ends as a place between two others, to a tenth."""
    low, high = ends
    return round(onto[0] + (value - low) / ((high - low) or 1.0) * (onto[1] - onto[0]), 1)


def line_chart(
    title: str,
    names: tuple[str, str],
    series: Sequence[tuple[str, str, Sequence[Value]]],
    y_ends: tuple[float, float],
    *,
    rules: Sequence[tuple[float, str]] = (),
    marked: bool = True,
    size: tuple[float, float] = (WIDTH, HEIGHT),
) -> LineChart:
    """Lines over a common x that counts something. `marked`: every value has a mark."""
    xs = [value[0] for _, _, values in series for value in values] or [0.0, 1.0]
    x_ends = (min(xs), max(xs)) if max(xs) > min(xs) else (xs[0] - 1, xs[0] + 1)
    y_marks = ticks(*y_ends, most=5)
    y_ends = (y_marks[0], y_marks[-1])
    plot_x, plot_y = (_LEFT + 12, size[0] - _RIGHT - 12), (size[1] - _BOTTOM, _TOP)
    x_marks = [mark for mark in ticks(*x_ends, most=8) if min(xs) <= mark <= max(xs) and mark == int(mark)]

    def point(name: str, value: Value) -> Point:
        x, y, low, high = value
        ends = [None if end is None else scaled(end, y_ends, plot_y) for end in (low, high)]
        said = f"{name}, {names[0]} {x:g}: {y:.4g}"
        said += "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"
        return Point(scaled(x, x_ends, plot_x), scaled(y, y_ends, plot_y), ends[0], ends[1], said)

    return LineChart(
        title,
        *names,
        [Tick(scaled(mark, x_ends, plot_x), f"{mark:g}") for mark in x_marks],
        [Tick(scaled(mark, y_ends, plot_y), f"{mark:g}") for mark in y_marks],
        [Series(name, colour, [point(name, value) for value in values]) for name, colour, values in series],
        [Tick(scaled(level, y_ends, plot_y), said) for level, said in rules],
        marked=marked,
        width=size[0],
        height=size[1],
    )


def thinned(values: Sequence[tuple[float, float]], most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """At most so many points: means of neighbours, so that no part of the line is left out."""
    size = ceil(len(values) / most) or 1
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def forest(
    title: str,
    rows: Sequence[tuple[str, Sequence[tuple[str, float, float, float]]]],
    legend: Sequence[tuple[str, str]] = (),
    ends: tuple[float, float] | None = None,
) -> Forest:
    """Rows of (colour, value, low, high). `ends`: of the axis, where the values shall not choose them."""
    values = [value for _, marks in rows for _, *parts in marks for value in parts]
    marks = ticks(*(ends or (min([*values, 0.0]), max([*values, 0.0]))))
    ends, onto = (marks[0], marks[-1]), (_GUTTER + 8, WIDTH - _RIGHT - 8)
    height = _TOP + len(rows) * _ROW + _AXIS

    def point(label: str, place: int, of: int, row: float, mark: tuple[str, float, float, float]) -> Point:
        _, value, low, high = mark
        y = row + (place - (of - 1) / 2) * 8
        at, start, end = (scaled(each, ends, onto) for each in (value, low, high))
        return Point(at, y, start, end, f"{label}: {value:.4f} ({low:.4f} to {high:.4f})")

    drawn: list[Row] = []
    for place, (label, found) in enumerate(rows):
        y = _TOP + (place + 0.5) * _ROW
        points = [(mark[0], point(label, index, len(found), y, mark)) for index, mark in enumerate(found)]
        drawn.append(Row(y, short(label), points))
    zero = scaled(0.0, ends, onto) if ends[0] < 0 else None
    return Forest(title, [Tick(scaled(mark, ends, onto), f"{mark:g}") for mark in marks], zero, drawn, legend, height)


def bars(
    title: str,
    x_name: str,
    rows: Sequence[tuple[str, float, Sequence[tuple[str, float, int]]]],
    legend: Sequence[tuple[str, int]] = (),
) -> Bars:
    """Rows of (name, where the bar begins, its parts as (words, length, shade))."""
    ends_of = [begins + sum(length for _, length, _ in parts) for _, begins, parts in rows]
    marks = ticks(0.0, max([*ends_of, 1e-9]))
    ends, onto = (0.0, marks[-1]), (_GUTTER, WIDTH - _RIGHT - 8)
    drawn: list[Bar] = []
    for place, (label, begins, parts) in enumerate(rows):
        at, segments = begins, list[Segment]()
        for words, length, shade in parts:
            x, end = scaled(at, ends, onto), scaled(at + length, ends, onto)
            segments.append(Segment(x, round(max(end - x, 1.0 if length else 0.0), 1), shade, f"{label}: {words}"))
            at += length
        drawn.append(Bar(_TOP + place * _ROW + 4, short(label), segments))
    places = [Tick(scaled(mark, ends, onto), f"{mark:,g}") for mark in marks]
    return Bars(title, x_name, places, drawn, legend, _TOP + len(rows) * _ROW + _AXIS)


def ramp(place: int, of: int) -> int:
    """The shade of one of several things that have an order."""
    return 0 if of < 2 else round(place / (of - 1) * 100)


def short(label: str) -> str:
    """A name as it fits beside a chart; tables have all of it."""
    return label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
