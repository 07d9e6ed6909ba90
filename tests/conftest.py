"""The table of faults, after the tests; also where they run in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple

import pytest
from faults_table import PROPERTY, AddRow, Row, lines


@pytest.fixture
def add_row(record_property: Callable[[str, object], None]) -> Iterator[AddRow]:
    """Begins a line of the table, to be filled while the test runs."""
    rows: list[Row] = []

    def add(what: str, fault: str) -> Row:
        rows.append(Row(what, fault))
        return rows[-1]

    yield add
    for row in rows:
        record_property(PROPERTY, astuple(row))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what all reports carry."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    for line in lines(
        Row(*value)
        for report in reports
        if getattr(report, "when", None) == "teardown"
        for name, value in report.user_properties
        if name == PROPERTY
    ):
        terminalreporter.write_line(line)
