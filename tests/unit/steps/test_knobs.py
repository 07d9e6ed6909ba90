"""The rehearsal teacher with each of its knobs turned, asked by the real steps over HTTP: what is the right outcome?"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flywheel.data.normalise import question_id
from flywheel.teacher import asking

ITERATION = "runs/review/severity-1/iter-1"
STOCK = Path(__file__).parents[1] / "rehearsal/stock.jsonl"
LABELS = ["critical", "major", "minor", "trivial"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are made again without much of a wait."""
    monkeypatch.setattr(asking, "FIRST_DELAY", 0.01)


def exam(bench: Any, questions: int = 40, unguarded: bool = False, **teacher: Any) -> Any:
    inputs = [bench.prepare().entry("curriculum", "task.json", "pools/exam")]
    parameters = {"teacher": {**bench.teacher, **teacher}, "questions": questions, "unguarded": unguarded}
    return bench.run("exam", f"{ITERATION}/exam/a1", parameters, inputs=inputs)


def whole(ran: Any, bench: Any, questions: int = 40) -> list[dict[str, Any]]:
    """An exam with as many questions of each label as asked for, none of them twice; the few that are missing are said.

    Of what a bad teacher writes a part is rejected or not confirmed, and it is asked again three times only.
    """
    assert ran.code == 0, ran.log
    lines = bench.lines(ran, "exam.jsonl")
    counts = Counter(line["answer"]["issue_type"] for line in lines)
    for missing in ran.result.figures.short.values():
        counts.update({LABELS[place]: count for place, count in missing.items()})
    assert counts == dict.fromkeys(LABELS, questions // 4)
    assert len({question_id(line["question"]) for line in lines}) == len(lines) >= 0.9 * questions
    assert bench.asked()["duplicates"] == 0, "nothing was paid twice"
    return lines


@pytest.mark.parametrize(
    ("knob", "share", "questions", "rung"),
    [
        ("badJson", 1.0, 40, "repaired"),
        ("badJson", 0.5, 80, "repaired"),
        ("cut", 0.5, 40, "cut"),
        ("thinking", 1.0, 40, "strict"),
    ],
)
def test_replies_that_are_hard_to_read_still_make_a_whole_exam(
    taught: Any, knob: str, share: float, questions: int, rung: str
) -> None:
    taught.turn(**{knob: share})
    ran = exam(taught, questions)
    whole(ran, taught, questions)
    assert ran.result.figures.replies[rung] >= 1
    repairs = taught.asked()["purposes"].get("repair", 0)
    assert repairs == ran.result.figures.replies.get("repaired", 0), "one call each"


@pytest.mark.parametrize(("knob", "rung"), [("refuse", "refused"), ("filter", "filtered")])
def test_what_the_teacher_refuses_is_counted_and_not_asked_again(taught: Any, knob: str, rung: str) -> None:
    taught.turn(**{knob: 0.5})
    ran = exam(taught, 120)
    assert ran.code == 0, ran.log
    refused = ran.result.figures.replies[rung]
    assert refused >= 1 and ran.result.figures.questions < 120
    report = taught.workspace.read_json(f"{ran.result.path}/replies.json")
    assert sum(report["refusedByLabel"].values()) + report["labels"]["replies"].get(rung, 0) == refused
    assert sum(count for _, _, count in ran.result.figures.blind) == sum(report["labels"]["refused"].values())
    taught.turn(**{knob: 1.0})
    ran = taught.run(
        "exam",
        f"{ITERATION}/exam/a2",
        {"teacher": taught.teacher, "questions": 40, "unguarded": True},
        inputs=[taught.prepare().entry("curriculum", "task.json", "pools/exam")],
        seed=8,
    )
    assert (ran.code, ran.result.error.reason) == (1, "TeacherReplies")
    assert ran.result.error.usage.calls == 4, "a refusal is not argued with, and is paid"


@pytest.mark.parametrize("knob", ["wrongLabel", "wrongOrder"])
def test_a_wrong_key_cannot_be_seen_in_the_items_themselves(taught: Any, knob: str) -> None:
    """Nobody else shows it: without votes the exam is whole, and its key is wrong as often as the knob says."""
    taught.turn(**{knob: 0.5})
    truth = {question_id(item["input"]): item["output"]["issue_type"] for item in map(json.loads, STOCK.open())}

    def wrong(lines: list[dict[str, Any]]) -> int:
        keys = [(truth[question_id(line["question"])], line) for line in lines if line["origin"] == "teacher"]
        return sum(right != line["answer"]["issue_type"] for right, line in keys)

    assert 8 <= wrong(whole(exam(taught, unguarded=True), taught)) <= 32
    guarded = exam(taught)
    assert guarded.code == 0, guarded.log
    assert wrong(taught.lines(guarded, "exam.jsonl")) == 0, "who labels its own item otherwise does not confirm it"
    assert guarded.result.figures.voted_out >= 8


@pytest.mark.parametrize(
    ("knob", "share", "rejected"), [("skew", 0.5, None), ("duplicates", 0.5, "Duplicate"), ("leak", 1.0, "Duplicate")]
)
def test_what_is_missing_or_known_is_asked_for_again(taught: Any, knob: str, share: float, rejected: str) -> None:
    taught.turn(**{knob: share})
    ran = exam(taught)
    lines = whole(ran, taught)
    report = taught.workspace.read_json(f"{ran.result.path}/replies.json")
    assert ran.result.figures.usage.calls > 4
    assert rejected is None or report["rejected"][rejected] >= 5
    pool = {question_id(item["input"]) for item in taught.lines(taught.prepare(), "pools/exam/items.jsonl")}
    assert not pool & {question_id(line["question"]) for line in lines if line["origin"] == "teacher"}


def test_a_flattering_grade_is_shown_and_moves_nothing(taught: Any) -> None:
    taught.turn(flatter=1.0)
    sat = exam(taught)
    given = taught.answered(whole(sat, taught))
    inputs = [taught.prepare().entry("curriculum", "task.json", "pools/curriculum"), sat.entry("exam"), given]
    parameters = {"teacher": taught.teacher, "examples": 40, "replay": "0.25"}
    ran = taught.run("evaluate", f"{ITERATION}/evaluate/a1", parameters, inputs=inputs)
    assert ran.code == 0, ran.log
    assert ran.result.figures.proficiency == 10
    labels = Counter(line["output"]["issue_type"] for line in taught.lines(ran, "dataset.jsonl"))
    assert labels["major"] == 25, "the marks, not the grade, say what is taught"


def test_an_order_in_an_item_stays_data(taught: Any) -> None:
    taught.turn(injected=1.0)
    lines = whole(exam(taught), taught)
    assert sum("Ignore all previous instructions" in line["question"]["review"] for line in lines) >= 20


@pytest.mark.parametrize("knob", ["busy", "ill", "busyFor"])
def test_what_is_turned_away_is_asked_again_and_paid_once(taught: Any, knob: str) -> None:
    taught.turn(**{knob: 0.3})
    ran = exam(taught, 80)
    whole(ran, taught, 80)
    assert taught.asked()["refused"] >= 1
    assert ran.result.figures.usage.lost_in_flight == 0


def test_a_teacher_that_only_turns_away_is_tried_later(taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TRIES", 2)
    taught.turn(ill=1.0)
    ran = exam(taught)
    assert (ran.code, ran.result.error.reason) == (75, "TeacherUnavailable")
    assert not list((taught.root / "ledger").rglob("*.json"))


def test_a_reply_that_breaks_off_is_charged_and_asked_again(taught: Any) -> None:
    taught.turn(dead=0.4)
    ran = exam(taught, 80)
    assert ran.code == 0, ran.log
    lost = ran.result.figures.usage.lost_in_flight
    assert lost == taught.asked()["duplicates"] >= 1
    assert ran.result.figures.usage.output_tokens > lost * 4096


def test_a_reply_that_takes_too_long_is_charged_and_asked_again(taught: Any) -> None:
    taught.turn(slow=0.4)
    ran = exam(taught, 80, callTimeoutSeconds=1, concurrency=8, unguarded=True)
    assert ran.code == 0, ran.log
    assert ran.result.figures.usage.lost_in_flight >= 1


def test_another_model_ends_the_step(taught: Any) -> None:
    taught.turn(swapped=0.5)
    ran = exam(taught)
    assert (ran.code, ran.result.error.reason) == (64, "TeacherModelChanged")
    assert "rehearsal-2" not in ran.result.error.message + ran.log


def test_a_reply_without_a_bill_is_charged_as_reserved(taught: Any) -> None:
    taught.turn(unmetered=1.0)
    usage = exam(taught).result.figures.usage
    assert usage.output_tokens == usage.calls * 4096


def test_a_budget_that_covers_half_an_exam_ends_the_run_and_one_that_covers_most_is_used(taught: Any) -> None:
    ran = exam(taught, allowance={"tokens": 12000}, concurrency=1)
    assert (ran.code, ran.result.error.reason) == (64, "BudgetExhausted"), ran.log
    usage = ran.result.error.usage
    assert usage.unaffordable >= 1 and usage.input_tokens + usage.output_tokens <= 12000
    most = exam(taught, 400, allowance={"tokens": 110000})
    assert most.code == 0, most.log
    usage = most.result.figures.usage
    assert usage.unaffordable >= 1 and 80 <= most.result.figures.questions < 400
    assert usage.input_tokens + usage.output_tokens <= 110000


@pytest.mark.parametrize("wanted", ["JSONObject", "JSONSchema"])
@pytest.mark.parametrize("knobs", [{}, {"badJson": 0.5}, {"cut": 0.5}, {"thinking": 1.0}, {"duplicates": 0.5}])
def test_with_structured_outputs_replies_are_read_and_checked_all_the_same(
    taught: Any, wanted: str, knobs: dict[str, float]
) -> None:
    taught.turn(**knobs)
    lines = whole(exam(taught, structuredOutputs=wanted), taught)
    plain = taught.asked()["count"]
    taught.turn()
    assert whole(exam(taught), taught) and taught.asked()["count"] >= plain + 4, "another format is another call"
    assert lines


@pytest.mark.parametrize(("knob", "rung"), [("refuse", "refused"), ("filter", "filtered")])
def test_with_structured_outputs_a_refusal_is_one(taught: Any, knob: str, rung: str) -> None:
    taught.turn(**{knob: 0.5})
    ran = exam(taught, 120, structuredOutputs="JSONSchema")
    assert ran.code == 0, ran.log
    assert ran.result.figures.replies[rung] >= 1 and ran.result.figures.questions < 120


def test_an_endpoint_without_structured_outputs_is_said_and_not_paid(taught: Any) -> None:
    taught.turn(unstructured=1.0)
    ran = exam(taught, structuredOutputs="JSONSchema")
    assert (ran.code, ran.result.error.reason) == (75, "TeacherUnavailable")
    assert "has no JSONSchema" in ran.result.error.message and "structuredOutputs" in ran.result.error.message
    assert not list((taught.root / "ledger").rglob("*.json"))
    assert exam(taught).code == 0, "only what asks for it is refused"
