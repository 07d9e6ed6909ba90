"""Every reason is explained, and explaining never fails: whatever status an operator may have written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import (
    NAMESPACE,
    NOW,
    adapter_deployment,
    curriculum,
    digest,
    flywheel_run,
    ready,
    run_spec,
    stated,
    taken,
)

from flywheel.api.conditions import Reason
from flywheel.cli.explaining import Explanation, explain
from flywheel.cli.reasons import MEANINGS, meaning
from flywheel.loop.soundness import ITERATION_STEPS

KINDS = ("working", "blocked", "suspended", "ready", "completed", "failed")
SHARES = st.decimals(0, 1, places=4).map(str)
MEASURED = st.builds(lambda value: {"accuracy": value, "low": "0.1", "high": "0.9", "items": 40}, SHARES)


def whole(said: Explanation) -> str:
    return " ".join([*said.where, *said.why, *said.next])


def test_every_reason_has_a_meaning_and_a_next_step() -> None:
    assert set(MEANINGS) == set(Reason)
    for reason, (why, coming) in MEANINGS.items():
        assert len(why) > 10 and why.endswith("."), reason
        assert len(coming) > 10 and coming.endswith("."), reason


def test_a_reason_of_a_newer_operator_is_said_to_be_unknown() -> None:
    assert "BornTomorrow" in meaning("BornTomorrow").why and meaning("BornTomorrow").next


@given(
    st.sampled_from(Reason),
    st.sampled_from(KINDS),
    st.fixed_dictionaries(
        {
            "iteration": st.integers(0, 12),
            "testOpenings": st.integers(0, 7),
            "alphaSpent": st.sampled_from(["0", "0.05"]),
        },
        optional={
            "step": st.sampled_from([*ITERATION_STEPS, "test", "judge"]),
            "attempt": st.fixed_dictionaries(
                {"failures": st.integers(0, 3), "disruptions": st.integers(0, 2), "waits": st.integers(0, 9)},
                optional={"retryAt": st.just(NOW.isoformat()), "message": st.text(max_size=20)},
            ),
            "validation": MEASURED,
            "baseline": MEASURED.map(lambda arm: [{"name": "base", **arm}]),
            "test": MEASURED.map(lambda arm: {**arm, "iteration": 1, "passed": False}),
            "usage": st.fixed_dictionaries({"teacherTokens": st.integers(0, 10**6)}),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "accuracy": SHARES,
            "plateau": st.just({"patience": 2}),
            "budget": st.just({"teacherTokens": 1000, "wallTime": "1h"}),
        },
    ),
)
def test_a_run_is_explained_whatever_its_status(reason: Reason, kind: str, more: Any, stop: Any) -> None:
    """The reason's own words are there, the message too, and something comes next."""
    said = explain(flywheel_run(run_spec(**stop), stated(kind, reason, **more)))
    known = MEANINGS[reason]
    assert said.reason == reason and known.why in said.why and known.next in said.next and said.where
    assert any("the particulars" in sentence for sentence in said.why)
    if kind in ("completed", "failed"):
        assert not any("ends when" in sentence for sentence in said.next), "an ended run ends no more"
    failures = more.get("attempt", {}).get("failures", 0)
    assert (f"{failures} of 3 attempts" in whole(said)) == bool(failures)


@given(st.sampled_from(Reason), st.sampled_from(KINDS))
def test_the_other_kinds_are_explained_too(reason: Reason, kind: str) -> None:
    for item in (curriculum(status=stated(kind, reason)), adapter_deployment(stated(kind, reason))):
        said = explain(item)
        assert said.reason == reason and MEANINGS[reason].next in said.next and said.where


def test_an_object_that_the_operator_never_saw() -> None:
    said = explain(flywheel_run(run_spec()))
    assert said.reason is None and "has not looked at it" in whole(said) and "is the operator running" in whole(said)


def test_a_change_that_is_not_acted_on_yet_is_said() -> None:
    said = explain(flywheel_run(run_spec(), stated("working", Reason.RUNNING), generation=2))
    assert "spec was changed since" in said.next[0]


def test_what_ends_a_run_and_what_its_budget_leaves() -> None:
    status = stated("working", Reason.RUNNING, iteration=2, step="evaluate", usage={"teacherTokens": 400})
    stop = {"accuracy": "0.8", "budget": {"teacherTokens": 1000}, "plateau": {"patience": 2, "minDelta": "0.02"}}
    gains = [{"versus": "patience", "difference": "0.01", "low": "-0.02", "high": "0.04"}]
    status |= {"history": [{"number": 1, "gains": gains}]}
    said = explain(flywheel_run(run_spec(**stop), status))
    assert said.next[1] == "Of this iteration come next: train, validate."
    assert "reaches 0.8" in whole(said) and "leaves 600 tokens for step evaluate" in whole(said)
    assert "below 0.02; after iteration 1 it was -0.02 to 0.04" in whole(said)


def test_why_a_tested_adapter_is_no_candidate() -> None:
    arm = {"accuracy": "0.7", "low": "0.6", "high": "0.8", "items": 40}
    gains = [{"versus": "base", "difference": "0.05", "low": "-0.01", "high": "0.1"}]
    floors = [{"label": "critical", "low": "-0.2", "margin": "0.1", "held": False}]
    test = {**arm, "iteration": 1, "passed": False, "arms": [{"name": "base", **arm}], "gains": gains, "floors": floors}
    said = explain(flywheel_run(run_spec(), stated("working", Reason.RUNNING, test=test, iteration=2)))
    words = "not proven better than base (difference -0.01 to 0.1), recall of critical may fall by more than 0.1"
    assert words in whole(said)
    judging = stated("working", Reason.RUNNING, test=test, iteration=1, step="judge")
    assert "did not pass" not in whole(explain(flywheel_run(run_spec(), judging)))


def test_what_a_deployment_waits_for() -> None:
    status = stated("blocked", Reason.AWAITING_APPROVAL, waiting=taken("new"), previous=[taken("old")])
    said = explain(adapter_deployment(status | {"serving": taken("now")}, pin=digest("now")))
    assert f"spec.approvedDigest: {digest('new')}" in whole(said)
    assert "spec.pin holds it at" in whole(said) and "spec.pin can go back to" in whole(said)


@pytest.mark.parametrize("generation", [1, 2])
def test_a_curriculum_tells_of_its_pools(generation: int) -> None:
    said = explain(curriculum(status=ready(), generation=generation))
    assert "validation 300" in whole(said)
    assert ("It is of an older spec." in said.where) == (generation == 2)
    assert said.namespace == NAMESPACE
