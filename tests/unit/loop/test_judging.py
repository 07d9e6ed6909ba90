"""When the judge is asked, what it may spend, what its verdicts decide, and what is said of its family."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from resources import curriculum, curriculum_spec, evaluation, flywheel_run, judged_task, ready, run_spec
from simulation import Script, World

from flywheel.api.evaluation import Evaluation
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.request import JudgeParameters
from flywheel.loop.preference_leakage import preference_leakage

BETTER, UNCLEAR, WORSE = (30, 10, 0.1, 0.02, 0.2), (12, 14, -0.01, -0.1, 0.08), (5, 40, -0.2, -0.3, -0.1)


def world(gate: dict[str, Any] | None = None, iterations: int = 1, **judge: Any) -> World:
    spec = run_spec(maxIterations=iterations) | {"evaluation": evaluation(**judge)}
    if gate is not None:
        spec |= {"gate": gate}
    return World(spec=spec, data=judged_task(), curriculum=curriculum(judged_task(), ready()))


def steps(found: World) -> list[tuple[int, str]]:
    return [(job.request.iteration, job.step) for job in found.created]


def finding(status: FlywheelRunStatus, kind: str = "PreferenceLeakageRisk") -> tuple[str, str, str]:
    entry = next(entry for entry in status.conditions if entry.type == kind)
    return entry.status, entry.reason, entry.message


@settings(max_examples=40)
@given(st.binary(max_size=250), st.booleans())
def test_every_judged_run_ends_and_breaks_no_rule(numbers: bytes, gated: bool) -> None:
    found = world({"preference": {}} if gated else None, iterations=2)
    found.script = Script(numbers)
    status = found.to_end()
    for entry in status.history:
        names = [step.name for step in entry.steps]
        assert "judge" not in names or names.index("judge") == names.index("test") + 1
    if status.candidate is not None:
        entry = next(one for one in status.history if one.number == status.candidate.iteration)
        assert "judge" in [step.name for step in entry.steps], "no promotion without the judge's word"


def test_the_judge_is_asked_after_a_test_that_passed_and_then_the_candidate_is_there() -> None:
    found = world({"preference": {}})
    found.preferred = BETTER
    status = found.to_end()
    assert steps(found)[-2:] == [(1, "test"), (1, "judge")]
    assert status.candidate is not None and status.candidate.test.name == "test"
    assert status.test is not None and status.test.passed
    assert [entry.versus for entry in status.test.preferences] == ["base", "large"]
    base = status.test.preferences[0]
    assert (base.wins, base.losses, base.flips, base.unjudged, base.difference) == (30, 10, 7, 3, "0.1000")
    assert (base.rate, base.rate_low) == ("0.6000", "0.5000")
    assert finding(status)[:2] == ("False", "JudgeOfOtherFamily")


def test_a_test_that_did_not_pass_is_not_judged() -> None:
    found = world({"preference": {}})
    found.unproven_tests = 1
    status = found.to_end()
    assert (1, "test") in steps(found) and (1, "judge") not in steps(found)
    assert status.judge is None and status.candidate is None


@pytest.mark.parametrize("preferred", [UNCLEAR, WORSE])
def test_texts_that_are_not_proven_better_hold_the_candidate_back(preferred: tuple[float, ...]) -> None:
    found = world({"preference": {}})
    found.preferred = preferred
    status = found.to_end()
    assert status.candidate is None and status.test is not None and not status.test.passed
    assert any("not proven preferred over the bare student's" in event.message for event in found.events)


def test_without_a_gate_the_preference_is_shown_and_decides_nothing() -> None:
    found = world()
    found.preferred = WORSE
    status = found.to_end()
    assert status.candidate is not None and status.test is not None
    assert status.test.preferences[0].high == "-0.1000"


@pytest.mark.parametrize(("margin", "promoted"), [("0.01", True), ("0.02", False), ("0.05", False)])
def test_the_margin_is_for_the_lower_bound(margin: str, promoted: bool) -> None:
    found = world({"preference": {"margin": margin}})
    found.preferred = BETTER
    assert (found.to_end().candidate is not None) == promoted


def test_a_later_candidate_is_compared_with_the_adapter_in_service() -> None:
    found = world({"preference": {}}, iterations=2)
    found.preferred, found.accuracies = BETTER, [0.3, 0.5, 0.6]
    status = found.to_end()
    assert status.candidate is not None and status.candidate.iteration == 2
    asked = [job.request for job in found.created if job.step == "judge"]
    assert [entry.name for entry in asked[1].inputs] == ["curriculum", "tested", "incumbent"]
    assert "/iter-1/test/" in asked[1].required("incumbent").path
    parameters = asked[1].parameters
    assert isinstance(parameters, JudgeParameters) and parameters.judge.served_model == "0123456789ab"


def test_one_proven_worse_than_the_adapter_in_service_is_held_back() -> None:
    found = world({"preference": {}}, iterations=2)
    found.accuracies = [0.3, 0.5, 0.6]
    honest = found._judged

    def judged(request: Any) -> dict[str, Any]:
        found.preferred = BETTER
        value = honest(request)
        if "incumbent" in value["preferences"]:
            value["preferences"]["incumbent"] = [200, 5, 40, 7, 3, -0.2, -0.3, -0.1, 0.3, 0.2, 0.4]
        return value

    found._judged = judged  # type: ignore[method-assign]
    status = found.to_end()
    assert status.candidate is not None and status.candidate.iteration == 1
    assert any("proven worse than those in service" in event.message for event in found.events)


def test_each_endpoint_has_a_budget_of_its_own() -> None:
    found = world(
        iterations=2, budget={"tokens": 10_000, "cost": "1"}, prices={"inputPerMillion": "1", "outputPerMillion": "2"}
    )
    found.preferred, found.accuracies = BETTER, [0.3, 0.5, 0.6]
    status = found.to_end()
    left = [job.request.parameters for job in found.created if job.step == "judge"]
    assert all(isinstance(entry, JudgeParameters) for entry in left)
    assert [entry.judge.allowance.tokens for entry in left] == [10_000, 5_600]
    assert [entry.models[0].endpoint.allowance.tokens for entry in left] == [5_000, 600]
    assert status.judge is not None
    assert {entry.name: (entry.calls, entry.cost) for entry in status.judge.usage} == {
        "judge": (800, "0.0096"),
        "large": (800, None),
    }
    assert status.usage.teacher_calls == 1 + 2 * 9, "none of it is the teacher's"


def test_a_judge_without_texts_is_said_before_anything_is_spent() -> None:
    found = World(spec=run_spec() | {"evaluation": evaluation()}, curriculum=curriculum(curriculum_spec(), ready()))
    plan = found.reconcile()
    assert not plan.create
    assert finding(plan.status, "Stalled")[1] == "NothingToJudge"
    found.curriculum = curriculum(judged_task(), ready())
    assert found.reconcile().create


def test_an_external_judge_needs_redaction() -> None:
    found = world(baseURL="https://judge.example.com/v1")
    open_spec = judged_task() | {"privacy": {"redact": {"secrets": False}}}
    found.curriculum = curriculum(open_spec, ready())
    plan = found.reconcile()
    assert finding(plan.status, "Stalled")[1] == "NotRedacted"
    assert "the judge of spec.evaluation is asked by https://judge.example.com/v1" in finding(plan.status, "Stalled")[2]


@pytest.mark.parametrize(
    ("judge", "teacher", "same"),
    [
        ("gpt-5-2026-01-01", "gpt-4o-mini", True),
        ("meta-llama/Llama-3.1-70B-Instruct", "llama-4-maverick", True),
        ("Qwen/Qwen2.5-72B-Instruct", "qwen3-235b", True),
        ("claude-large", "gpt-large", False),
        ("mistral-small-latest", "nemotron-super-49b", False),
        ("o3", "o3", True),
        ("o3", "o4", False),
        ("large", "large-instruct", False),
    ],
)
def test_families_are_told_by_names(judge: str, teacher: str, same: bool) -> None:
    spec = run_spec() | {"evaluation": evaluation(model=judge)}
    spec["teacher"] = spec["teacher"] | {"model": teacher}
    found = preference_leakage(flywheel_run(spec).spec)
    assert found is not None and found.holds == same


@pytest.mark.parametrize(("risk", "promoted"), [("Blocks", False), ("Waived", True)])
def test_a_judge_of_the_teachers_family_blocks_promotion_unless_waived(risk: str, promoted: bool) -> None:
    found = world({"preference": {"leakageRisk": risk}}, model="rehearsal-judge")
    found.preferred = BETTER
    first = found.reconcile()
    assert finding(first.status)[0] == "True", "said before anything is spent"
    status = found.to_end()
    assert (status.candidate is not None) == promoted
    held, why, words = finding(status)
    assert (held, why) == ("True", "JudgeOfTeachersFamily")
    assert ("waived" in words) == promoted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"compare": [evaluation()["compare"][0] | {"name": "base"}]}, "compare\\[\\].name must be none of base"),
        ({"compare": evaluation()["compare"] * 2}, "two entries"),
        ({"judge": evaluation()["judge"] | {"budget": {}}}, "one of tokens and cost"),
        ({"judge": evaluation()["judge"] | {"budget": {"cost": "1"}}}, "budget.cost needs prices"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Evaluation.model_validate(evaluation() | change)


def test_a_gate_without_a_judge_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"gate\.preference needs evaluation\.judge"):
        FlywheelRunSpec.model_validate(run_spec() | {"gate": {"preference": {}}})
