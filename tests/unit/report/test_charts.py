"""Geometry: everything lies within the picture, in its order, and nothing is left out of a thinned line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.report.charts import Point, bars, forest, line_chart, ramp, scaled, thinned, ticks

NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))
SHARES = st.floats(0, 1)


@given(NUMBERS, NUMBERS)
def test_ticks_are_few_rise_and_reach_around(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    found = ticks(low, high)
    assert found == sorted(set(found)) and 2 <= len(found) <= 9
    slack = 1e-6 * max(1.0, high - low)
    assert found[0] <= low + slack and found[-1] >= high - slack


@given(st.lists(st.tuples(st.integers(0, 400), SHARES, SHARES, SHARES), min_size=1, max_size=30))
def test_lines_stay_within_the_picture_and_keep_their_order(drawn: list[tuple[int, float, float, float]]) -> None:
    values = [(float(x), y, min(a, y), max(b, y)) for x, y, a, b in drawn]
    chart = line_chart("t", ("x", "y"), [("s", "c1", values)], (0.0, 1.0))
    (series,) = chart.series
    for value, point in zip(values, series.points, strict=True):
        assert chart.left <= point.x <= chart.right and 0 <= point.y <= chart.bottom
        assert point.low is not None and point.high is not None and point.high <= point.y <= point.low
        assert f"{value[1]:.4g}" in point.text
    assert {float(tick.text) for tick in chart.x_ticks} <= set(range(int(min(values)[0]), int(max(values)[0]) + 1))
    assert all(chart.left <= tick.at <= chart.right and float(tick.text).is_integer() for tick in chart.x_ticks)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted), min_size=1, max_size=16))
def test_forest_rows_stay_within_the_picture(drawn: list[list[float]]) -> None:
    chart = forest("t", [(f"row {n}", [("c1", mid, low, high)]) for n, (low, mid, high) in enumerate(drawn)])
    points: list[Point] = [point for row in chart.rows for _, point in row.points]
    for point in points:
        assert point.low is not None and point.high is not None
        assert chart.left <= point.low <= point.x <= point.high <= chart.width and 0 < point.y < chart.bottom
    order = sorted(range(len(drawn)), key=lambda n: drawn[n][1])
    places = [points[n].x for n in order]
    assert places == sorted(places)


@given(st.lists(st.lists(st.integers(0, 10_000), min_size=1, max_size=5), min_size=1, max_size=10))
def test_bars_are_as_long_as_what_they_count(drawn: list[list[int]]) -> None:
    chart = bars("t", "n", [(str(n), 0.0, [("part", float(v), 0) for v in row]) for n, row in enumerate(drawn)])
    ends = float(chart.ticks[-1].text.replace(",", ""))
    for row, bar in zip(drawn, chart.bars, strict=True):
        last = bar.segments[-1]
        expected = scaled(sum(row), (0.0, ends), (chart.ticks[0].at, chart.ticks[-1].at))
        assert last.x + last.width == pytest.approx(expected, abs=1.1)
        assert last.x + last.width <= chart.width


@given(st.lists(NUMBERS, min_size=1, max_size=2000))
def test_a_thinned_line_keeps_its_mean_and_its_end(losses: list[float]) -> None:
    points = [(float(place), loss) for place, loss in enumerate(losses)]
    found = thinned(points, most=50)
    assert len(found) <= 50 and found[-1][0] == points[-1][0]
    size = -(-len(points) // 50)
    weights = [size] * (len(points) // size) + ([len(points) % size] if len(points) % size else [])
    mean = sum(y * weight for (_, y), weight in zip(found, weights, strict=True)) / len(points)
    assert mean == pytest.approx(sum(losses) / len(losses), abs=1e-6)


def test_shades_go_from_end_to_end() -> None:
    assert [ramp(place, 4) for place in range(4)] == [0, 33, 67, 100] and ramp(0, 1) == 0
