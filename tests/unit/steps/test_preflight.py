"""preflight against the rehearsal teacher over HTTP: one call, counted and recorded; what is wrong is said."""

from __future__ import annotations

from typing import Any

import pytest

from flywheel.teacher import asking


def preflight(bench: Any, attempt: int = 1, run: str = "severity-1", **teacher: Any) -> Any:
    inputs = [bench.prepare().entry("curriculum", "task.json")]
    more = {"iteration": 0, "attempt": attempt, "inputs": inputs}
    return bench.run(
        "preflight", f"runs/review/{run}/iter-0/preflight/a{attempt}", {"teacher": {**bench.teacher, **teacher}}, **more
    )


@pytest.mark.parametrize("wanted", [None, "JSONObject", "JSONSchema"])
def test_one_call_is_paid_and_recorded_for_all_runs(taught: Any, wanted: str | None) -> None:
    form = {"structuredOutputs": wanted} if wanted else {}
    ran = preflight(taught, **form)
    assert ran.code == 0, ran.log
    figures = ran.result.figures
    assert (figures.usage.calls, figures.replies) == (1, {"strict": 1})
    assert figures.usage.input_tokens + figures.usage.output_tokens < 100
    assert figures.served_model is not None
    assert len(list((taught.root / "ledger").rglob("*.reply.json"))) == 1
    again = preflight(taught, run="other-2", **form)
    assert (again.code, again.result.figures.usage.calls) == (0, 0)
    assert taught.asked()["count"] == 1


@pytest.mark.parametrize(
    ("teacher", "reason", "words"),
    [
        ({"model": "other"}, "TeacherUnavailable", "spec.teacher.model"),
        ({"baseUrl": "http://elsewhere/v1"}, "TeacherSecret", "not among the hosts"),
        ({"structuredOutputs": "JSONSchema"}, "TeacherUnavailable", "structuredOutputs"),
    ],
)
def test_what_can_be_mended_is_said(taught: Any, teacher: dict[str, Any], reason: str, words: str) -> None:
    taught.turn(unstructured=1.0)
    ran = preflight(taught, **teacher)
    assert (ran.code, ran.result.error.reason) == (75, reason)
    assert words in ran.result.error.message


def test_a_key_that_is_refused_is_said(taught: Any) -> None:
    taught.key = "another"
    ran = preflight(taught)
    assert (ran.code, ran.result.error.reason) == (75, "TeacherKeyRefused")


@pytest.mark.parametrize("knob", ["cut", "refuse", "filter"])
def test_a_teacher_that_does_not_do_what_it_is_asked_is_asked_once_an_attempt(taught: Any, knob: str) -> None:
    taught.turn(**{knob: 1.0})
    for attempt in (1, 2):
        ran = preflight(taught, attempt)
        assert (ran.code, ran.result.error.reason) == (1, "TeacherReplies")
        assert ran.result.error.usage.calls == attempt
    taught.turn()
    ran = preflight(taught, 3)
    assert (ran.code, ran.result.figures.usage.calls) == (0, 3)


def test_a_teacher_that_is_away_is_tried_later(taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TRIES", 1)
    taught.turn(ill=1.0)
    ran = preflight(taught)
    assert (ran.code, ran.result.error.reason) == (75, "TeacherUnavailable")
    assert not list((taught.root / "ledger").rglob("*.json"))


def test_a_budget_that_covers_nothing_is_spent(taught: Any) -> None:
    ran = preflight(taught, allowance={"tokens": 10})
    assert (ran.code, ran.result.error.reason) == (64, "BudgetExhausted")
    assert taught.asked()["count"] == 0
