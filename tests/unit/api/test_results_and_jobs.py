"""Results fit the kubelet's limits, and the settings of a step are its own over the defaults."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from resources import digest

from flywheel.api.conditions import Reason
from flywheel.api.jobs import Jobs, JobSettings, StepName
from flywheel.api.result import (
    MAX_RESULT_BYTES,
    Accuracy,
    Agreement,
    AnswerFigures,
    Difference,
    EvaluateFigures,
    ExamFigures,
    Figures,
    JudgeFigures,
    MeasureFigures,
    Preference,
    PrepareFigures,
    PublishFigures,
    Spent,
    StepError,
    StepResult,
    TrainFigures,
    Usage,
    VerifyFigures,
    figures_json,
    parse_result,
)
from flywheel.teacher.replies import Rung
from flywheel.workspace.program import _failure

POOLS = ("exam", "curriculum", "validation", "test", "probe")
UNTRAINED = ("majority", "bagOfWords", "base", "likelihood", "fewShot")
ARMS = (*UNTRAINED, "candidate")
VERSUS = (*UNTRAINED, "incumbent")
LONG_HOME = f"runs/{'n' * 63}/{'r' * 253}-01234567/iter-100/validate/a123"
USAGE = Usage(
    calls=99999,
    recorded=99999,
    lost_in_flight=256,
    input_tokens=10**9,
    output_tokens=10**9,
    cached_tokens=10**9,
    unaffordable=99999,
)
RUNGS = dict.fromkeys(get_args(Rung), 99999)
ACCURACY = Accuracy(accuracy=0.81239, low=0.76543, high=0.85432, unparsable=9999, over_long=9999)
COMPARED = tuple(f"{place}{'m' * 15}"[::-1] for place in range(3))
PREFERENCE = Preference(
    items=10000,
    wins=9999,
    losses=9999,
    flips=9999,
    unjudged=9999,
    difference=-0.12345,
    low=-0.54321,
    high=-0.98765,
    rate=0.12345,
    rate_low=0.12345,
    rate_high=0.12345,
)
DIFFERENCE = Difference(difference=-0.12345, low=-0.54321, high=-0.98765)
REJECTED = (
    "SchemaMismatch",
    "UnknownLabel",
    "ConflictingLabels",
    "NearDuplicate",
    "MatchesHeldOut",
    "FeedbackAccepted",
)
REJECTED += ("FeedbackRejected", "SkippedFolder", "OtherReasons")
# As many labels and reasons as there are.
WHY = ("Budget", "Refused", "RoundsUsed", "SchemaMismatch", "UnknownLabel", "OtherLabel", "Duplicate", "VotedOut")
SHORT = {reason: {place: 1000, place + 8: 1000} for place, reason in enumerate((*WHY,))}
LARGEST: list[Figures] = [
    PrepareFigures(
        revision="0123456789abcdef",
        items=dict.fromkeys(POOLS, 99999),
        labels={pool: [9999] * 16 for pool in POOLS},
        units={"exam": 25000, "curriculum": 25000},
        rejected=dict.fromkeys(REJECTED, 99999),
    ),
    AnswerFigures(items=10000, score=ACCURACY),
    JudgeFigures(
        preferences=dict.fromkeys(("base", "incumbent", *COMPARED), PREFERENCE),
        first_place=0.51234,
        agreement=Agreement(
            items=9999, share=0.81239, low=0.71234, high=0.91234, kappa=0.61234, kappa_low=-0.51234, kappa_high=0.71234
        ),
        usage=dict.fromkeys(("judge", *COMPARED), Spent.model_validate(USAGE.model_dump())),
        served_model="0123456789ab",
    ),
    ExamFigures(
        questions=10000,
        anchors=3000,
        rejected=99999,
        voted_out=99999,
        blind=[(100, 100, 100)] * 16,
        short=SHORT,
        replies=RUNGS,
        checked=99999,
        quarantined=dict.fromkeys(("HeldOutCopy", "HeldOutNear"), 99999),
        redacted=dict.fromkeys(("secrets", "emails", "hosts", "names"), 99999),
        usage=USAGE,
        served_model="0123456789ab",
    ),
    EvaluateFigures(
        proficiency=10,
        inflation_gap=DIFFERENCE,
        new_examples=100000,
        training_items=10**7,
        rejected=99999,
        voted_out=99999,
        short=SHORT,
        replies=RUNGS,
        checked=99999,
        quarantined=dict.fromkeys(("HeldOutCopy", "HeldOutNear"), 99999),
        redacted=dict.fromkeys(("secrets", "emails", "hosts", "names"), 99999),
        usage=USAGE,
        served_model="0123456789ab",
    ),
    TrainFigures(
        adapter=digest("a"), steps=10**7, resumed_at=10**7, first_loss=12.34567, last_loss=0.12345, over_long=10**7
    ),
    MeasureFigures(
        step="validate",
        items=99999,
        arms=dict.fromkeys(ARMS, ACCURACY),
        differences=dict.fromkeys((*VERSUS, "patience"), DIFFERENCE),
    ),
    MeasureFigures(
        step="test",
        items=99999,
        arms=dict.fromkeys(ARMS, ACCURACY),
        differences=dict.fromkeys((*VERSUS, "first"), DIFFERENCE),
        recall_lows=[-0.12345] * 16,
        blanked={f"{place}{'f' * 31}"[::-1]: DIFFERENCE for place in range(4)},
        probes=1000,
        openings=100,
        spent=0.123456789,
    ),
    PublishFigures(phase="commit", adapter=digest("a")),
    VerifyFigures(probes=1000, agreed={f"10.244.100.{number}:8001": 1000 for number in range(20)}, passed=True),
]


@pytest.mark.parametrize("figures", LARGEST, ids=lambda figures: figures.step)
def test_the_largest_result_fits(figures: Figures) -> None:
    for home in (LONG_HOME, "runs/a/b-01234567/iter-1/validate/a1", None):
        result = StepResult(manifest=digest("m"), path=home, figures=figures)
        message = result.to_message()
        assert len(message.encode()) <= MAX_RESULT_BYTES
        found = parse_result(message)
        assert found is not None and (found.manifest, found.figures) == (result.manifest, figures)
        assert found.path in (home, None)


def test_a_short_result_keeps_its_path_and_a_huge_one_is_refused() -> None:
    path = "runs/a/b-01234567/iter-1/answer/a1"
    kept = parse_result(StepResult(manifest=digest("m"), path=path, figures=LARGEST[1]).to_message())
    assert kept is not None and kept.path == path
    huge = VerifyFigures(probes=1, agreed={f"10.0.0.{number}:8001": 1 for number in range(100)}, passed=True)
    with pytest.raises(ValueError, match="the limit is 1536"):
        StepResult(manifest=digest("m"), figures=huge).to_message()


@given(st.text(max_size=600))
def test_what_is_not_a_result_is_none(text: str) -> None:
    assert parse_result(text) is None


@pytest.mark.parametrize("text", ["{}", '{"v":1}', '{"v":2,"error":{"reason":"x","message":"y"}}', "null", "[]", '"x"'])
def test_json_that_is_not_a_result_is_none(text: str) -> None:
    assert parse_result(text) is None


@pytest.mark.parametrize("figures", LARGEST, ids=lambda figures: figures.step)
def test_every_cut_of_a_result_is_none(figures: Figures) -> None:
    message = StepResult(manifest=digest("m"), figures=figures).to_message()
    assert all(parse_result(message[:length]) is None for length in range(len(message)))


@pytest.mark.parametrize("message", ["x" * 400, '"' * 400, "\u2028" * 400, "\U0001f600" * 400])
def test_the_longest_error_fits_with_what_the_step_was_charged(message: str) -> None:
    error = _failure(Reason.CURRICULUM_NOT_READY, message, USAGE)
    assert error.error is not None and error.error.usage == USAGE
    assert len(error.to_message().encode()) <= MAX_RESULT_BYTES


def test_an_error_is_a_result() -> None:
    error = StepResult(error=StepError(reason="BadInput", message="line 3"))
    assert parse_result(error.to_message()) == error


@given(st.floats(-1, 1))
def test_shares_are_rounded_and_survive(value: float) -> None:
    made = Difference(difference=value, low=value, high=value)
    assert abs(made.difference - value) <= 0.00005 + 1e-12
    figures = MeasureFigures(step="test", items=1, arms={}, differences={"base": made})
    assert MeasureFigures.model_validate(figures_json(figures)) == figures


def test_a_difference_is_three_numbers_and_nothing_else() -> None:
    made = Difference(difference=0.1, low=0.0, high=0.2)
    assert made.to_json_object() == [0.1, 0.0, 0.2]
    assert Difference.model_validate([0.1, 0.0, 0.2]) == Difference.model_validate(dict(made)) == made
    for odd in ([], [0.1, 0.0], [0.1, 0.0, 0.2, 0.3], [0.1, 0.0, None], "0.1"):
        with pytest.raises(ValidationError):
            Difference.model_validate(odd)


FIELDS: dict[str, list[Any]] = {
    "image": ["registry.example/a:1", "registry.example/b:2"],
    "timeout": ["15m", "2h"],
    "attempts": [1, 5],
    "nodeSelector": [{"gpu": "h200"}, {"zone": "a"}],
    "tolerations": [[{"key": "gpu", "operator": "Exists"}], []],
    "env": [[{"name": "A", "value": "1"}], [{"name": "B", "value": "2"}]],
    "resources": [{"limits": {"memory": "4Gi", "nvidia.com/gpu": 1}}, {"requests": {"cpu": "500m"}}],
}
settings_of = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in FIELDS.items()})


@given(settings_of, settings_of, st.sampled_from(get_args(StepName)), st.sampled_from(get_args(StepName)))
def test_own_settings_win_field_by_field(defaults: dict[str, Any], own: dict[str, Any], step: str, asked: str) -> None:
    jobs = Jobs.model_validate({"defaults": defaults, "steps": [own | {"name": step}]})
    wanted = defaults | own if asked == step else defaults
    assert jobs.for_step(asked) == JobSettings.model_validate(wanted)


def test_numbers_in_quantities_are_texts() -> None:
    jobs = Jobs.model_validate({"defaults": {"resources": {"limits": {"nvidia.com/gpu": 2}}}})
    resources = jobs.for_step("train").resources
    assert resources is not None and resources.limits == {"nvidia.com/gpu": "2"}
