"""How wrong the teacher's labels are: pooled over iterations, bounded, and said once its upper bound is too high."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import ready
from simulation import World
from statsmodels.stats.proportion import proportion_confint

from flywheel.api.conditions import TEACHER_UNRELIABLE
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.pinned import PinnedRevision
from flywheel.api.result import Blind, EvaluateFigures, ExamFigures
from flywheel.loop.teacher_error import unreliable, with_teacher_error

LABELS = ["critical", "major", "minor"]
counts = st.integers(0, 300).flatmap(lambda items: st.tuples(st.just(items), st.integers(0, items), st.integers(0, 50)))
exams = st.lists(st.tuples(counts, counts, counts), min_size=1, max_size=5)


def begun(labels: list[str]) -> FlywheelRunStatus:
    sizes = [{"label": label, "items": 100} for label in labels]
    revision = ready()["revision"] | {"pools": [{"name": "validation", "items": 300, "labels": sizes}]}
    return FlywheelRunStatus(curriculum=PinnedRevision.model_validate(revision))


def after(*blinds: list[Blind], labels: list[str] = LABELS) -> FlywheelRunStatus:
    status = begun(labels)
    for blind in blinds:
        status = with_teacher_error(status, ExamFigures(questions=80, blind=blind, voted_out=2))
    return status


@given(exams)
def test_it_is_pooled_over_iterations_with_wilsons_interval(found: list[tuple[Blind, Blind, Blind]]) -> None:
    status = after(*[list(blind) for blind in found])
    for place, entry in enumerate(status.teacher_error):
        items, wrong, refused = (sum(blind[place][part] for blind in found) for part in range(3))
        assert (entry.label, entry.items, entry.wrong, entry.refused) == (LABELS[place], items, wrong, refused)
        low, high = proportion_confint(wrong, items, method="wilson") if items else (0, 1)
        assert (float(entry.low), float(entry.high)) == pytest.approx((low, high), abs=6e-5)
    assert status.voted_out == 2 * len(found)


@pytest.mark.parametrize(
    ("blind", "reason"),
    [
        ([(25, 3, 0)] * 3, "LabelsRight"),
        ([(25, 4, 0)] * 3, "LabelsUnclear"),
        ([(25, 0, 0), (25, 15, 0), (25, 1, 0)], "LabelsWrong"),
        ([(5, 0, 20)] * 3, "LabelsUnclear"),  # too few were labelled to tell
        ([(0, 0, 25)] * 3, None),
    ],
)
def test_it_is_said_once_the_upper_bound_is_too_high(blind: list[Blind], reason: str | None) -> None:
    found = unreliable(after(blind))
    assert (found.reason.value if found else None) == reason
    if found is not None:
        assert found.holds == {"LabelsRight": False, "LabelsWrong": True}.get(reason or "")


def test_the_message_names_the_label_its_error_and_what_to_do() -> None:
    found = unreliable(after([(25, 0, 0), (25, 15, 0), (25, 1, 0)]))
    assert found is not None and "major 0.6000 (0.4074 to 0.7660)" in found.message
    assert "critical" not in found.message and "use a better teacher" in found.message


def test_the_message_of_many_labels_stays_short() -> None:
    labels = [f"{place}{'x' * 60}" for place in range(16)]
    found = unreliable(after([(25, 20, 0)] * 16, labels=labels))
    assert found is not None and len(found.message) < 1024 and "and 10 more" in found.message


def test_examples_count_only_what_was_voted_out() -> None:
    status = after([(25, 1, 0)] * 3)
    figures = EvaluateFigures(proficiency=3, new_examples=1, training_items=1, voted_out=7)
    told = with_teacher_error(status, figures)
    assert (told.voted_out, told.teacher_error) == (9, status.teacher_error)


def test_a_run_tells_gap_and_error_in_every_iteration() -> None:
    status = World(accuracies=[0.5] * 12).to_end()
    assert all(entry.inflation_gap is not None and entry.inflation_gap.gap == "0.1000" for entry in status.history)
    assert status.inflation_gap is not None and status.inflation_gap.low == "-0.0500"
    assert status.voted_out == 2 * len(status.history)
    first = status.teacher_error[0]
    assert (first.items, first.wrong) == (25 * len(status.history), 2 * len(status.history))
    assert [entry.status for entry in status.conditions if entry.type == TEACHER_UNRELIABLE] == ["False"]
