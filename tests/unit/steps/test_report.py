"""report: a finished attempt gives the same result again; anything else gives nothing."""

from __future__ import annotations

from typing import Any

import pytest

from flywheel.api.result import AbsentFigures

pytestmark = pytest.mark.parametrize("bench", ["volume", "bucket"], indirect=True)


def report(bench: Any, path: str) -> Any:
    return bench.run("report", "runs/review/severity-1/iter-1/report/a1", {"attemptPath": path})


def test_the_same_result_again(bench: Any) -> None:
    prepared = bench.prepare()
    again = report(bench, prepared.result.path)
    assert again.code == 0
    assert (again.result.manifest, again.result.path) == (prepared.result.manifest, prepared.result.path)
    assert again.result.figures == prepared.result.figures


def test_unfinished_or_damaged_is_nothing(bench: Any) -> None:
    prepared = bench.prepare()
    absent = AbsentFigures()
    assert report(bench, "runs/review/none").result.figures == absent
    (bench.root / prepared.result.path / "task.json").write_text("{}")
    assert report(bench, prepared.result.path).result.figures == absent
    (bench.root / prepared.result.path / "manifest.json").write_text("{")
    ran = report(bench, prepared.result.path)
    assert (ran.code, ran.result.figures, ran.result.manifest) == (0, absent, None)
