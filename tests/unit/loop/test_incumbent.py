"""What serves from another run: pinned when the run starts, to be beaten by the first candidate, and fairly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from resources import NOW, curriculum_spec, digest, metadata, run_spec
from simulation import Script, World

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import Condition
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus, LeftItems, ServingIncumbent
from flywheel.loop.contamination import contaminated
from flywheel.loop.decide import decide_run

ADAPTER, MANIFEST = digest("serving"), digest("its folder")
GAINS = {"plateau": {"patience": 3, "minDelta": "0.06"}}


def deployment(**serving: Any) -> AdapterDeployment:
    """What serves came from a run before."""
    taken = {
        "digest": ADAPTER,
        "run": "before",
        "iteration": 4,
        "runCreated": NOW.isoformat(),
        "workspace": curriculum_spec()["workspace"],
        "staged": MANIFEST,
    }
    target = {"triton": {"serviceRef": {"name": "t"}, "model": "severity"} | claim("models")}
    status = {"serving": taken | serving}
    value = {"metadata": metadata("review"), "spec": {"target": target}, "status": status}
    return AdapterDeployment.model_validate(value)


def claim(name: str) -> dict[str, Any]:
    return {"repository": {"persistentVolumeClaim": {"claimName": name}}}


def world(serving: dict[str, Any] | None = None, gate: dict[str, Any] | None = None, **stop: Any) -> World:
    spec = run_spec(**stop) | {"deploymentRef": {"name": "review"}, "gate": gate or {}}
    return World(spec=spec, deployment=deployment(**(serving or {})))


def said(status: FlywheelRunStatus, kind: str) -> Condition | None:
    return next((entry for entry in status.conditions if entry.type == kind), None)


def blocked(found: World, turns: int = 12) -> Condition:
    """The run stands still, for a reason."""
    for _ in range(turns):
        found.turn()
    status = found.read_status()
    stalled = said(status, "Stalled")
    assert not found.ended and stalled is not None and stalled.status == "True"
    return stalled


def test_what_serves_is_pinned_measured_and_beaten_before_a_candidate_is_promoted() -> None:
    found = world()
    status = found.to_end()
    assert status.serving is not None and status.serving.digest == ADAPTER and status.serving.run == "before"
    asked = {(job.request.iteration, job.step): job.request for job in found.created}
    for place in ((0, "validate"), (1, "test")):
        entry = asked[place].required("serving")
        assert entry.path == f"adapters/review/{ADAPTER.replace(':', '-')}" and entry.digest == MANIFEST
        assert "card.json" in entry.parts and "probes.jsonl" not in entry.parts
    compared = {entry.name: entry for entry in asked[1, "validate"].parameters.comparisons}  # pyright: ignore
    assert (compared["incumbent"].input, compared["incumbent"].arm) == ("baseline", "incumbent")
    assert asked[1, "test"].parameters.recall_versus == ["incumbent"]  # pyright: ignore
    assert status.candidate is not None and status.candidate.iteration == 1
    assert "serving" not in {entry.name for entry in asked[2, "validate"].inputs}, "now the candidate is to be beaten"
    assert any(arm.name == "incumbent" for arm in status.baseline)


def test_a_candidate_that_is_not_proven_better_than_what_serves_is_not_promoted() -> None:
    for gate, promoted in (({}, False), ({"serving": "Shown"}, True)):
        found = world(gate=gate, maxIterations=1)
        figures = found.figures

        def worse(request: Any, figures: Any = figures) -> Any:
            measured = figures(request)
            if "incumbent" in getattr(measured, "differences", {}):
                other = dict(measured.differences)
                other["incumbent"] = other["incumbent"].model_copy(update={"low": -0.01})
                measured = measured.model_copy(update={"differences": other})
            return measured

        found.figures = worse  # type: ignore[method-assign]
        assert (found.to_end().candidate is not None) == promoted


def test_where_nothing_fair_is_left_the_teacher_is_not_paid_until_the_spec_says_so() -> None:
    found = world()
    found.left_for_serving = (295, None)
    stalled = blocked(found)
    assert stalled.reason == "IncumbentNotComparable"
    assert "groups of 295 validation items" in stalled.message and "gate.serving: Shown" in stalled.message
    told = said(found.read_status(), "IncumbentContaminated")
    assert told is not None and (told.status, told.reason) == ("True", "TooFewItems")
    assert [job.step for job in found.created] == ["validate"], "before the teacher is asked anything"
    found.edit(gate={"serving": "Shown"})
    assert found.to_end().candidate is not None


def test_what_is_not_in_the_workspace_is_said_at_once() -> None:
    for serving in ({"workspace": {"persistentVolumeClaim": {"claimName": "other"}}}, {"staged": None}):
        found = world(serving)
        stalled = blocked(found)
        assert stalled.reason == "IncumbentNotComparable" and "not in this run's workspace" in stalled.message
        assert "FlywheelRun before" in stalled.message and found.created == []
        assert said(found.read_status(), "IncumbentContaminated") is None
        found.edit(gate={"serving": "Shown"})
        assert found.to_end().candidate is not None


def test_the_bare_student_and_nothing_are_no_incumbents() -> None:
    for entry in (deployment(digest="Base", contract=ADAPTER), None):
        found = world()
        found.deployment = entry
        status = found.to_end()
        assert status.serving is None and status.candidate is not None


def test_a_status_that_lost_what_serves_is_damaged() -> None:
    found = world()
    while not found.read_status().baseline:
        found.turn()
    found.status = {name: value for name, value in found.status.items() if name != "serving"}
    stalled = said(decide_run(found.observe(), found.now).status, "Stalled")
    assert stalled is not None and stalled.reason == "StatusDamaged" and "incumbent" in stalled.message


@given(
    st.integers(0, 300),
    st.none() | st.integers(1, 1500),
    st.integers(0, 300),
    st.none() | st.integers(1, 1500),
)
def test_contaminated_exactly_where_items_left_out_leave_too_few(
    validation_out: int, validation: int | None, test_out: int, test: int | None
) -> None:
    """minDelta is asked of validation, and of the test pool nothing but that a gain can be shown."""
    left = [
        LeftItems(items=300 - out, left_out=out, smallest_gain=None if smallest is None else f"{smallest / 1e4:.4f}")
        for out, smallest in ((validation_out, validation), (test_out, test))
    ]
    incumbent = ServingIncumbent(digest=ADAPTER, run="before", iteration=1, path="p", manifest=MANIFEST)
    incumbent = incumbent.model_copy(update={"validation": left[0], "test": left[1]})
    spec = FlywheelRunSpec.model_validate(run_spec(**GAINS))
    found = contaminated(spec, FlywheelRunStatus(serving=incumbent))
    assert found is not None
    few = (validation is None or validation > 600, test is None)
    assert found.holds == any(entry.left_out > 0 and short for entry, short in zip(left, few, strict=True))


@given(st.binary(max_size=200), st.sampled_from(["Required", "Shown"]), st.sampled_from([(0, 0.05), (200, 0.11)]))
def test_whatever_happens_no_candidate_comes_past_what_serves(
    numbers: bytes, serving: str, left: Sequence[float | None]
) -> None:
    found = world(gate={"serving": serving}, maxIterations=2)
    found.script, found.left_for_serving = Script(numbers), left
    status = found.to_end()
    first = status.first_candidate
    if first is None or serving == "Shown":
        return
    of_first = next(entry for entry in status.history if entry.number == first.iteration)
    assert any(gain.versus == "incumbent" and float(gain.low) > 0 for gain in of_first.gains)
