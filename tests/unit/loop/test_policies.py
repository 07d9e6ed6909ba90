"""Gate, stopping, names, conditions: each policy against its rule."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
from checks import DNS_LABEL, READY_RULES
from hypothesis import given
from hypothesis import strategies as st
from resources import NOW, digest, flywheel_run, run_spec

from flywheel.api.conditions import Condition, Reason
from flywheel.api.flywheelrun_status import (
    AcceptedStep,
    Arm,
    Best,
    Candidate,
    FloorReport,
    FlywheelRunStatus,
    Gain,
    Iteration,
    Measured,
    RunUsage,
    TestReport,
)
from flywheel.api.gate import Gate
from flywheel.api.jobs import StepName
from flywheel.api.metadata import Metadata
from flywheel.api.model import ObjectName, decimal_text
from flywheel.api.request import Input
from flywheel.loop.gate import best_untrained, deserves_test, passes
from flywheel.loop.naming import adapter_folder, attempt_folder, attempt_of_folder, job_name, run_folder
from flywheel.loop.openings import held_out_spent
from flywheel.loop.state import Kind, State, conditions
from flywheel.loop.stopping import stop_after

shares = st.decimals(0, 1, places=4).map(lambda value: f"{value:.4f}")
signed = st.decimals(-1, 1, places=4).map(lambda value: f"{value:.4f}")
STEP = AcceptedStep(name="validate", attempt=1, digest=digest("x"))


def gain(versus: str, low: str, high: str = "0.5000") -> Gain:
    return Gain(versus=versus, difference="0.1000", low=low, high=high)


def report_of(arms: list[Arm], gains: list[Gain], floors: list[FloorReport] | None = None) -> TestReport:
    figures = {"accuracy": "0.7", "low": "0.6", "high": "0.8", "iteration": 3, "passed": False}
    return TestReport.model_validate(figures | {"arms": arms, "gains": gains, "floors": floors or []})


def arms(**accuracies: str) -> list[Arm]:
    return [Arm(name=name, accuracy=value, low="0.0", high="1.0") for name, value in accuracies.items()]


@given(shares, shares, signed, st.integers(1, 5), st.integers(1, 5), st.decimals(0, 1, places=2))
def test_the_first_limit_that_holds_ends_the_run(
    low: str, target: str, high: str, number: int, most: int, min_delta: Decimal
) -> None:
    stop: dict[str, Any] = {
        "maxIterations": most,
        "accuracy": target,
        "plateau": {"patience": 1, "minDelta": str(min_delta)},
    }
    spec = flywheel_run(run_spec(**stop)).spec
    measured = Measured(accuracy="0.9999", low=low, high="1.0000")
    iteration = Iteration(number=number, validation=measured, gains=[gain("patience", "-1.0", high), gain("base", "1")])
    end = stop_after(spec, iteration, RunUsage())
    if Decimal(low) >= Decimal(target):  # the lower bound, not the accuracy
        wanted = "TargetReached"
    elif Decimal(high) < min_delta:  # the upper bound: an interval that covers both proves nothing
        wanted = "Plateau"
    else:
        wanted = "MaxIterations" if number >= most else None
    assert (end.reason.value if end else None) == wanted
    assert end is None or (end.kind == "completed" and end.message)


def test_no_plateau_is_seen_before_there_is_one_to_compare_with() -> None:
    spec = flywheel_run(run_spec(maxIterations=9, plateau={"patience": 3, "minDelta": "0.5"})).spec
    measured = Measured(accuracy="0.5", low="0.4", high="0.6")
    assert (
        stop_after(spec, Iteration(number=2, validation=measured, gains=[gain("base", "0", "0")]), RunUsage()) is None
    )


@given(
    st.dictionaries(st.sampled_from(["majority", "bagOfWords", "base", "likelihood", "fewShot"]), shares),
    signed,
    signed,
    st.booleans(),
)
def test_the_gate_asks_the_best_untrained_arm_and_the_incumbent(
    accuracies: dict[str, str], low: str, incumbent: str, has_incumbent: bool
) -> None:
    answered = {name: value for name, value in accuracies.items() if name not in ("majority", "bagOfWords")}
    best = best_untrained(arms(**accuracies))
    candidate = Candidate(iteration=1, digest=digest("b"), train=STEP, validated=STEP, test=STEP)
    status = FlywheelRunStatus(candidate=candidate if has_incumbent else None)

    def passed(gains: list[Gain]) -> bool:
        report = report_of(arms(**accuracies), gains)
        fallen = [gain(name, "1.0") for name in ("blank:code", *answered)][:4]
        assert passes(Gate(), status, report.model_copy(update={"blanked": fallen})) == passes(Gate(), status, report)
        return passes(Gate(), status, report)

    if not answered:
        assert best is None and not passes(Gate(), FlywheelRunStatus(), report_of([], [gain("base", "1.0")]))
        return
    assert best is not None and Decimal(best.accuracy) == max(Decimal(value) for value in answered.values())
    others = [gain(name, "0.9000") for name in answered if name != best.name]
    gains = [*others, gain(best.name, low), gain("incumbent", incumbent)]
    wanted = Decimal(low) > 0 and (not has_incumbent or Decimal(incumbent) > 0)
    assert passed(gains) == wanted
    assert not passed(others)


@given(signed, st.decimals(0, 1, places=4), st.booleans(), st.lists(st.booleans(), max_size=3))
def test_the_gate_looks_back_at_the_first_promoted_and_at_every_floor(
    low: str, margin: Decimal, further: bool, held: list[bool]
) -> None:
    first, incumbent = (
        Candidate(iteration=number, digest=digest("b"), train=STEP, validated=STEP, test=STEP)
        for number in (1, 2 if further else 1)
    )
    status = FlywheelRunStatus(candidate=incumbent, first_candidate=first)
    floors = [FloorReport(label=str(place), low="0.1", margin="0.1", held=each) for place, each in enumerate(held)]
    report = report_of(arms(base="0.4"), [gain("base", "0.1"), gain("incumbent", "0.1"), gain("first", low)], floors)
    gate = Gate(first_margin=margin)
    assert passes(gate, status, report) == (all(held) and (not further or Decimal(low) > -margin))
    unmeasured = report.model_copy(update={"gains": report.gains[:2]})
    assert passes(gate, status, unmeasured) == (all(held) and not further)


@given(signed, signed, st.booleans(), st.booleans())
def test_only_a_new_best_that_is_proven_better_deserves_a_test_and_never_a_controls(
    low: str, incumbent: str, newest: bool, has_candidate: bool
) -> None:
    spec, control = (flywheel_run(run_spec() | {"control": each}).spec for each in (False, True))
    best = Best(iteration=2 if newest else 1, digest=digest("a"), accuracy="0.7", train=STEP, validated=STEP)
    candidate = Candidate(iteration=1, digest=digest("b"), train=STEP, validated=STEP, test=STEP)
    status = FlywheelRunStatus(
        best=best, candidate=candidate if has_candidate else None, baseline=arms(base="0.3", fewShot="0.4")
    )
    iteration = Iteration(number=2, gains=[gain("base", "0.2"), gain("fewShot", low), gain("incumbent", incumbent)])
    wanted = newest and Decimal(low) > 0 and (not has_candidate or Decimal(incumbent) > 0)
    assert deserves_test(spec, status, iteration) == wanted
    assert not deserves_test(spec, status.model_copy(update={"best": None}), iteration)
    assert not deserves_test(control, status, iteration)


@given(st.integers(0, 10), st.integers(1, 10))
def test_the_test_pool_is_spent_at_its_last_opening(openings: int, most: int) -> None:
    spec = flywheel_run(run_spec() | {"gate": {"maxTestOpenings": most}}).spec
    assert held_out_spent(FlywheelRunStatus(test_openings=openings), spec) == (openings >= most)


NAME_PATTERN = next(entry.pattern for entry in ObjectName.__metadata__[0].metadata if hasattr(entry, "pattern"))
object_names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: name.isascii() and len(name) <= 253)


@given(object_names, st.uuids(), st.integers(0, 999_999), st.sampled_from(get_args(StepName)), st.integers(1, 99_999))
def test_job_names_are_dns_labels(name: str, uid: object, iteration: int, step: str, attempt: int) -> None:
    owner = Metadata(name=name, namespace="review", uid=str(uid))
    found = job_name(owner, iteration, step, attempt)
    assert DNS_LABEL.fullmatch(found), found
    assert found.endswith(f"-{iteration}-{step}-{attempt}")
    assert found != job_name(owner, iteration, step, attempt + 1)
    assert found != job_name(owner.model_copy(update={"uid": "00000" + str(uid)[:3]}), iteration, step, attempt) or str(
        uid
    ).startswith("00000")


def test_a_name_that_would_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 63"):
        job_name(Metadata(name="r" * 40, uid="01234567"), 10**9, "validate", 10**9)


@given(st.integers(1, 10**6))
def test_folders_tell_their_attempt(attempt: int) -> None:
    home = run_folder(Metadata(name="run", namespace="review", uid="0123456789abcdef"))
    assert home == "runs/review/run-01234567"
    assert attempt_of_folder(attempt_folder(home, 3, "train", attempt)) == attempt
    with pytest.raises(ValueError, match="no attempt"):
        attempt_of_folder(home)


@given(
    object_names | st.sampled_from(["n" * 253, ".".join(["name-with-dots-at-200"] * 11), "a" * 199 + "-.-" + "b" * 51])
)
def test_folders_fit_a_file_system(name: str) -> None:
    """255 bytes a name, whatever the resource is called; the uid tells apart what is cut."""
    owner = Metadata(name=name, namespace="n" * 63, uid="0123456789abcdef")
    folder = attempt_folder(run_folder(owner), 999, "validate", 99_999)
    assert max(len(part.encode()) for part in folder.split("/")) <= 255
    assert run_folder(owner).endswith("-01234567")
    Input(name="x", path=folder, digest=digest("x"))


def test_an_adapters_folder_has_no_colon() -> None:
    assert adapter_folder("review", "sha256:ab") == "adapters/review/sha256-ab"


kinds = st.sampled_from(get_args(Kind))
states = st.builds(State, kinds, st.sampled_from(Reason), st.text(min_size=1, max_size=2000))


@given(st.lists(states, min_size=1, max_size=6))
def test_the_conditions_table(sequence: list[State]) -> None:
    """Reconciling and Stalled never together, Completed and Failed exclude each other, times move with status only."""
    other = Condition(
        type="HeldOutExhausted", status="True", reason="HeldOutSpent", message="m", last_transition_time=NOW
    )
    held, now = [other], NOW
    for generation, state in enumerate(sequence, 1):
        now += timedelta(seconds=7)
        before = {entry.type: entry for entry in held}
        held = conditions(held, state, generation, now)
        by_type = {entry.type: entry for entry in held}
        assert len(by_type) == len(held) and by_type["HeldOutExhausted"] == other
        true = {kind for kind, entry in by_type.items() if entry.status == "True"}
        shape = tuple(kind in true for kind in ("Reconciling", "Stalled", "Completed", "Failed"))
        rules = READY_RULES | {("True", False, False, False, False)}  # a Curriculum that is ready has not ended
        assert (by_type["Ready"].status, *shape) in rules
        for entry in held:
            Condition.model_validate(entry.to_json_object())
            if entry.type == "HeldOutExhausted":
                continue
            assert (entry.reason, entry.observed_generation) == (state.reason, generation)
            same = entry.type in before and before[entry.type].status == entry.status
            assert entry.last_transition_time == (before[entry.type].last_transition_time if same else now)


@given(st.floats(-1, 1))
def test_shares_are_shown_with_four_places(value: float) -> None:
    assert abs(float(decimal_text(value)) - value) <= 0.00005 + 1e-12
    assert len(decimal_text(value)) <= 16
