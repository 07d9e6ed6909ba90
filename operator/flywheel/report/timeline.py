"""When each step ended, by the time of its manifest: the workspace records no other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flywheel.report.blocks import Figure, Table, count, text
from flywheel.report.charts import bars
from flywheel.report.run import MissingError, Run
from flywheel.workspace.manifest import MANIFEST
from flywheel.workspace.recorded import Recorded

_NOTE = (
    "By the times of the manifests' files. A bar begins where the step before ended, so it holds waiting in a queue,"
    " pauses and failed attempts too."
)


@dataclass(frozen=True)
class _Ended:
    recorded: Recorded
    began: float | None
    ended: float


def _ends(run: Run) -> list[_Ended]:
    """Steps in the order of their ends. Raises MissingError where the times cannot be those of the run."""
    times = [(one, run.workspace.local(f"{one.folder}/{MANIFEST}").stat().st_mtime) for one in run.attempts]
    times.sort(key=lambda entry: entry[1])
    numbers = [one.iteration for one, _ in times]
    if numbers != sorted(numbers) or len({round(at, 3) for _, at in times}) < len(times):
        raise MissingError("the manifests' times do not follow the iterations: the workspace was copied without them")
    started = run.resource.status.started_at if run.resource is not None else None
    before = None if started is None else started.timestamp()
    found: list[_Ended] = []
    for one, at in times:
        found.append(_Ended(one, before if before is None or before <= at else None, at))
        before = at
    return found


def timeline_chart(run: Run) -> Figure:
    """A bar for each step, from the end of the one before."""
    ends = _ends(run)
    first = ends[0].began if ends[0].began is not None else ends[0].ended
    unit, name = (60.0, "minutes") if ends[-1].ended - first > 600 else (1.0, "seconds")
    rows = [
        (
            f"{one.recorded.iteration} {one.recorded.step}",
            (began - first) / unit,
            [(_lasted(one), (one.ended - began) / unit, 60)],
        )
        for one in ends
        if (began := one.began) is not None
    ]
    return Figure("Steps over time", bars("Steps over time", f"{name} since the first", rows), _NOTE)


def timeline(run: Run) -> Table:
    """The same as a table."""
    rows = [
        [
            count(one.recorded.iteration),
            text(one.recorded.step),
            count(one.recorded.attempt),
            text(_at(one.ended)),
            text(_lasted(one)),
        ]
        for one in _ends(run)
    ]
    columns = ("Iteration", "Step", "Attempt", "Ended", "Since the step before")
    return Table("Steps in the order of their ends", columns, rows)


def _at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _lasted(one: _Ended) -> str:
    if one.began is None:
        return "unknown"
    seconds = one.ended - one.began
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
