"""prepare, exam, answers, evaluate, twice over, against the real rehearsal teacher over HTTP."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import Any

import pytest

from flywheel.api.result import EvaluateFigures, ExamFigures
from flywheel.data.normalise import question_id

LABELS = ["critical", "major", "minor", "trivial"]
WEAK = "major"


def exam(bench: Any, prepared: Any, iteration: int = 1, feedback: Any = None, questions: int = 40, **more: Any) -> Any:
    inputs = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    inputs += [] if feedback is None else [feedback.entry("feedback", "evaluation.json")]
    output = f"runs/review/severity-1/iter-{iteration}/exam/a{more.get('attempt', 1)}"
    parameters = {"teacher": bench.teacher, "questions": questions}
    return bench.run("exam", output, parameters, inputs=inputs, iteration=iteration, **more)


def evaluate(bench: Any, prepared: Any, sat: Any, given: Any, iteration: int = 1, previous: Any = None) -> Any:
    inputs = [
        prepared.entry("curriculum", "task.json", "signatures.json", "pools/curriculum"),
        sat.entry("exam", "exam.jsonl"),
        given,
    ]
    inputs += [] if previous is None else [previous.entry("previous", "dataset.jsonl")]
    output = f"runs/review/severity-1/iter-{iteration}/evaluate/a1"
    parameters = {"teacher": bench.teacher, "examples": 40, "replay": "0.25"}
    return bench.run("evaluate", output, parameters, inputs=inputs, iteration=iteration)


def labels(lines: list[dict[str, Any]], field: str) -> Counter[str]:
    return Counter(line[field]["issue_type"] for line in lines)


def inputs_of(lines: list[dict[str, Any]], field: str) -> set[str]:
    return {question_id(line[field]) for line in lines}


def anchors(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in questions if line["origin"] == "anchor"]


def written(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in questions if line["origin"] == "teacher"]


def test_two_iterations_of_teaching(taught: Any) -> None:
    prepared = taught.prepare()
    first_exam = exam(taught, prepared)
    figures = first_exam.result.figures
    assert isinstance(figures, ExamFigures), first_exam.log
    questions = taught.lines(first_exam, "exam.jsonl")
    assert (figures.questions, figures.anchors) == (len(questions), len(anchors(questions))) == (40, 12)
    assert labels(questions, "answer") == dict.fromkeys(LABELS, 10)
    assert figures.usage.calls >= 4
    assert "progress exam 28/28 questions" in first_exam.log

    first = evaluate(taught, prepared, first_exam, taught.answered(questions))
    figures = first.result.figures
    assert isinstance(figures, EvaluateFigures), first.log
    evaluation = taught.workspace.read_json(f"{first.result.path}/evaluation.json")
    assert evaluation["proficiency"] == figures.proficiency == 7  # 3 of 4 labels right: 2/3 of the way from chance
    gap = figures.inflation_gap
    assert gap is not None and gap.difference == 0 and gap.low < -0.05 and gap.high > 0.05
    assert WEAK in " ".join(evaluation["feedback"]["weaknesses"])
    dataset = taught.lines(first, "dataset.jsonl")
    assert labels(dataset, "output") == {"critical": 5, "major": 25, "minor": 5, "trivial": 5}
    train = taught.lines(first, "train.jsonl")
    origins = Counter(line["origin"] for line in train)
    assert origins == {"teacher": 40, "replay": 13}
    assert figures.training_items == 53

    second_exam = exam(taught, prepared, iteration=2, feedback=first)
    new_questions = taught.lines(second_exam, "exam.jsonl")
    second = evaluate(taught, prepared, second_exam, taught.answered(new_questions, 2), iteration=2, previous=first)
    assert second.code == 0, second.log
    grown = taught.lines(second, "dataset.jsonl")
    assert grown[:40] == dataset
    assert {line["iteration"] for line in grown[40:]} == {2}
    assert len(inputs_of(grown, "input")) == len(grown) > 60
    # Iterations ask for other items, and nobody is taught the questions of the exam just sat.
    assert anchors(new_questions) == anchors(questions), "anchors are the same in every exam"
    assert len(inputs_of(written(new_questions), "question") & inputs_of(written(questions), "question")) < 14
    # The teacher labels other trusted items each time, and never an anchor.
    assert sum(count for count, _, _ in first_exam.result.figures.blind) > 20
    assert [count for count, _, _ in second_exam.result.figures.blind] == [0] * 4, "all were labelled already"
    assert not inputs_of(new_questions, "question") & inputs_of(grown[40:], "input")
    assert taught.asked()["duplicates"] == 0
    assert taught.asked()["purposes"]["evaluation"] == 2


def test_no_held_out_item_and_no_seed_comes_back(taught: Any) -> None:
    prepared = taught.prepare()
    sat = exam(taught, prepared)
    made = evaluate(taught, prepared, sat, taught.answered(taught.lines(sat, "exam.jsonl")))
    pools = {
        pool: inputs_of(taught.lines(prepared, f"pools/{pool}/items.jsonl"), "input")
        for pool in ("exam", "curriculum", "validation", "test")
    }
    lines = taught.lines(sat, "exam.jsonl")
    questions = inputs_of(written(lines), "question")
    assert inputs_of(anchors(lines), "question") <= pools["exam"]
    train = inputs_of(taught.lines(made, "train.jsonl"), "input")
    assert not questions & set().union(*pools.values())
    assert not train & (pools["validation"] | pools["test"] | pools["exam"])
    # What a prompt could hold is what was mounted: neither file nor digest of a held-out pool is named.
    ledger = [path.read_text() for path in (taught.root / "ledger").rglob("*.json")]
    assert not any("pools/validation" in text or "pools/test" in text for text in ledger)


def test_the_same_request_again_is_free_and_the_same(taught: Any) -> None:
    prepared = taught.prepare()
    first, paid = exam(taught, prepared), taught.asked()["count"]
    again = exam(taught, prepared, attempt=2)
    assert taught.asked()["count"] == paid
    assert taught.lines(again, "exam.jsonl") == taught.lines(first, "exam.jsonl")
    assert again.result.figures.usage.recorded == paid
    assert again.result.figures.usage.calls == paid, "the step's own attempts paid for them"


def replies(bench: Any) -> int:
    """Recorded replies; what is being written does not count."""
    return sum(not path.name.startswith("tmp-") for path in (bench.root / "ledger").rglob("*.reply.json"))


def test_killed_in_the_middle_no_recorded_call_is_paid_twice(taught: Any) -> None:
    prepared = taught.prepare()
    inputs = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    parameters = {"teacher": {**taught.teacher, "concurrency": 1}, "questions": 80}
    program = taught.start("exam", "runs/review/severity-1/iter-1/exam/a1", parameters, inputs=inputs, seed=2)
    while replies(taught) < 3 and program.poll() is None:
        time.sleep(0.005)
    program.send_signal(signal.SIGKILL)
    program.communicate()
    recorded = replies(taught)
    again = exam(taught, prepared, attempt=2, seed=2, questions=80)
    assert again.code == 0, again.log
    assert again.result.figures.usage.recorded >= recorded >= 3
    # At most the one call that was under way was answered twice.
    assert taught.asked()["duplicates"] <= again.result.figures.usage.lost_in_flight <= 1
    assert len(taught.lines(again, "exam.jsonl")) == 80


def test_a_terminated_step_keeps_what_it_paid(taught: Any) -> None:
    prepared = taught.prepare()
    inputs = [prepared.entry("curriculum", "task.json", "signatures.json", "pools/exam")]
    parameters = {"teacher": taught.teacher, "questions": 80}
    program = taught.start("exam", "runs/review/severity-1/iter-1/exam/a1", parameters, inputs=inputs)
    while not replies(taught) and program.poll() is None:
        time.sleep(0.005)
    program.send_signal(signal.SIGTERM)
    program.communicate()
    again = exam(taught, prepared, attempt=2, questions=80)
    assert again.code == 0, again.log
    assert again.result.figures.usage.lost_in_flight == 0
    assert taught.asked()["duplicates"] == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"model": "other"}, "TeacherUnavailable"), ({"baseUrl": "http://localhost:1/v1"}, "TeacherSecret")],
)
def test_a_wrong_teacher_is_tried_later(taught: Any, changes: dict[str, Any], reason: str) -> None:
    prepared = taught.prepare()
    taught.teacher = {**taught.teacher, **changes}
    ran = exam(taught, prepared)
    assert (ran.code, ran.result.error.reason) == (75, reason)


def test_a_refused_key_is_tried_later_and_named(taught: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = taught.prepare()
    environment = taught.environment

    def with_another_key(*arguments: Any, **more: Any) -> dict[str, str]:
        return {**environment(*arguments, **more), "FLYWHEEL_TEACHER_API_KEY": "sk-wrong"}

    monkeypatch.setattr(taught, "environment", with_another_key)
    ran = exam(taught, prepared)
    assert (ran.code, ran.result.error.reason) == (75, "TeacherKeyRefused")
    assert "sk-wrong" not in ran.log + ran.result.error.message


def test_the_control_trains_on_as_many_seed_items_and_asks_nothing_new(taught: Any) -> None:
    prepared = taught.prepare()
    sat = exam(taught, prepared)
    given = taught.answered(taught.lines(sat, "exam.jsonl"))
    taught_set = evaluate(taught, prepared, sat, given)
    asked = taught.asked()["requests"]
    inputs = [
        prepared.entry("curriculum", "task.json", "signatures.json", "pools/curriculum"),
        sat.entry("exam"),
        given,
    ]
    parameters = {"teacher": taught.teacher, "examples": 40, "replay": "0.25", "control": True}
    made = taught.run("evaluate", "runs/review/severity-1/iter-1/evaluate/a2", parameters, inputs=inputs)
    assert made.code == 0, made.log
    assert taught.asked()["requests"] == asked
    train = taught.lines(made, "train.jsonl")
    assert len(train) == len(taught.lines(taught_set, "train.jsonl")) == made.result.figures.training_items
    pool = {item["id"] for item in taught.lines(prepared, "pools/curriculum/items.jsonl")}
    assert {line["id"] for line in train} <= pool and {line["origin"] for line in train} == {"replay"}
    assert taught.lines(made, "dataset.jsonl") == taught.lines(taught_set, "dataset.jsonl")
