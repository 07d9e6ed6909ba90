"""QuotasShort: what is missing of which label, why, and that it is over."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from resources import LABELS

from flywheel.api.conditions import QUOTAS_SHORT
from flywheel.api.curriculum import LabelItems, PoolItems
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.pinned import PinnedRevision
from flywheel.api.result import EvaluateFigures, ExamFigures
from flywheel.loop.finding import with_finding
from flywheel.loop.shortages import noted, shortages

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64
POOL = PoolItems(name="validation", items=8, labels=[LabelItems(label=label, items=2) for label in LABELS])
PINNED = FlywheelRunStatus(curriculum=PinnedRevision(name="r", path="p", digest=DIGEST, pools=[POOL]))


def exam(**short: dict[int, int]) -> ExamFigures:
    return ExamFigures(questions=4, short=short)


def evaluate(**short: dict[int, int]) -> EvaluateFigures:
    return EvaluateFigures(proficiency=3, new_examples=4, training_items=5, short=short)


def told(status: FlywheelRunStatus) -> tuple[FlywheelRunStatus, list[tuple[str, str, str]]]:
    status = with_finding(status, QUOTAS_SHORT, shortages(status), 1, NOW)
    return status, [(entry.status, entry.reason, entry.message) for entry in status.conditions]


def test_each_label_has_its_reason_until_it_is_over() -> None:
    assert told(noted(PINNED, exam()))[1] == []
    status, ((said, reason, words),) = told(noted(PINNED, exam(Budget={3: 2}, Refused={0: 5})))
    assert (said, reason) == ("True", "ItemsMissing")
    assert "5 questions of critical (refused by the teacher), 2 questions of trivial (the budget" in words
    assert [(entry.label, entry.missing, entry.reason) for entry in status.shortages] == [
        ("critical", 5, "Refused"),
        ("trivial", 2, "Budget"),
    ]
    status, ((_, _, words),) = told(noted(status, evaluate(Duplicate={1: 7})))
    assert words.startswith("missing: 7 examples of major (most were Duplicate), 5 questions of critical")
    status, ((said, _, words),) = told(noted(status, exam()))
    assert said == "True" and "critical" not in words
    _, ((said, reason, _),) = told(noted(status, evaluate()))
    assert (said, reason) == ("False", "QuotasMet")


SHORT = st.dictionaries(
    st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,31}", fullmatch=True),
    st.dictionaries(st.integers(0, 15), st.integers(0, 10**15), max_size=16),
    max_size=16,
)


@given(SHORT, SHORT)
def test_whatever_a_pod_says_fits_into_a_status(
    one: dict[str, dict[int, int]], other: dict[str, dict[int, int]]
) -> None:
    status, conditions = told(noted(noted(PINNED, exam(**one)), evaluate(**other)))
    assert FlywheelRunStatus.model_validate(status.to_json_object()) == status
    keys = [(entry.step, entry.label) for entry in status.shortages]
    assert len(keys) == len(set(keys)) <= 32
    assert all(len(words) < 1024 and "replies.json" in words for _, _, words in conditions)


def test_a_run_without_pinned_labels_still_says_which() -> None:
    status = noted(FlywheelRunStatus(), exam(Budget={2: 1}))
    assert [entry.label for entry in status.shortages] == ["label 3"]
