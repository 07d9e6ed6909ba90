"""PromptingSuffices: exactly where training beats the bare student and not the best way of asking it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import NOW, digest, flywheel_run, run_spec
from simulation import World

from flywheel.api.conditions import Condition
from flywheel.api.flywheelrun_status import (
    AcceptedStep,
    Arm,
    Best,
    Candidate,
    FlywheelRunStatus,
    Gain,
    Iteration,
    Measured,
    TestReport,
)
from flywheel.api.request import StepRequest
from flywheel.loop.gate import deserves_test
from flywheel.loop.prompting import prompting_suffices

SPEC = flywheel_run(run_spec()).spec
STEP = AcceptedStep(name="validate", attempt=1, digest=digest("x"))
BEST = Best(iteration=2, digest=digest("a"), accuracy="0.7000", train=STEP, validated=STEP)
signed = st.decimals(-1, 1, places=4).map(lambda value: f"{value:.4f}")
shares = st.decimals(0, 1, places=4).map(lambda value: f"{value:.4f}")


def arms(accuracies: dict[str, str]) -> list[Arm]:
    return [Arm(name=name, accuracy=value, low="0.0", high="1.0") for name, value in accuracies.items()]


def gains(lows: dict[str, str]) -> list[Gain]:
    return [Gain(versus=name, difference="0.1000", low=low, high="0.9000") for name, low in lows.items()]


def status_of(accuracies: dict[str, str], lows: dict[str, str], **fields: Any) -> FlywheelRunStatus:
    measured = Measured(accuracy="0.7000", low="0.6", high="0.8")
    current = Iteration(number=2, validation=measured, gains=gains(lows))
    return FlywheelRunStatus(best=BEST, baseline=arms(accuracies), current=current).model_copy(update=fields)


ARMS = {"base": "0.3000", "likelihood": "0.4000", "fewShot": "0.6500"}


@pytest.mark.parametrize(
    ("lows", "reason"),
    [
        ({"base": "0.1", "likelihood": "0.1", "fewShot": "-0.01"}, "PromptingAsGood"),
        ({"base": "0.1", "likelihood": "-0.1", "fewShot": "0.0001"}, "AdapterBetter"),
        ({"base": "0.0", "likelihood": "0.1", "fewShot": "-0.01"}, "NoGainProven"),
    ],
)
def test_the_best_adapter_is_compared_with_the_best_untrained_arm(lows: dict[str, str], reason: str) -> None:
    found = prompting_suffices(status_of(ARMS, lows))
    assert found is not None and (found.reason, found.holds) == (reason, reason == "PromptingAsGood")
    assert "0.7000 against 0.6500 of fewShot, a gain of 0.1000" in found.message and lows["fewShot"] in found.message


@given(st.fixed_dictionaries(dict.fromkeys(ARMS, shares)), st.fixed_dictionaries(dict.fromkeys(ARMS, signed)))
def test_it_never_holds_where_the_adapter_deserves_a_test(accuracies: dict[str, str], lows: dict[str, str]) -> None:
    status = status_of(accuracies, lows)
    found = prompting_suffices(status)
    best = max(accuracies, key=lambda name: Decimal(accuracies[name]))
    assert found is not None
    assert found.holds == (Decimal(lows["base"]) > 0 >= Decimal(lows[best]))
    assert (found.reason == "AdapterBetter") == deserves_test(SPEC, status, status.current or Iteration(number=2))


def test_the_test_pool_has_the_last_word() -> None:
    lows = {"base": "0.1", "likelihood": "0.1", "fewShot": "0.1"}
    report = TestReport(
        iteration=2,
        passed=False,
        accuracy="0.6800",
        low="0.6",
        high="0.8",
        arms=arms(ARMS),
        gains=gains({"base": "0.2", "likelihood": "0.1", "fewShot": "-0.0200"}),
    )
    found = prompting_suffices(status_of(ARMS, lows, test=report))
    assert found is not None and found.holds and "0.6800" in found.message and "test pool" in found.message
    older = report.model_copy(update={"iteration": 1})
    found = prompting_suffices(status_of(ARMS, lows, test=older))
    assert found is not None and found.reason == "AdapterBetter", "an older adapter's test says nothing of this one"
    candidate = Candidate(iteration=1, digest=digest("b"), train=STEP, validated=STEP, test=STEP)
    found = prompting_suffices(status_of(ARMS, dict.fromkeys(ARMS, "-0.1"), test=report, candidate=candidate))
    assert found is not None and found.reason == "AdapterBetter", "what was promoted was proven"


def test_without_an_adapter_nothing_is_said_and_old_evidence_is_kept() -> None:
    assert prompting_suffices(FlywheelRunStatus(baseline=arms(ARMS))) is None
    forgotten = FlywheelRunStatus(best=BEST, baseline=arms(ARMS))
    assert prompting_suffices(forgotten) is None
    told = Condition(
        type="PromptingSuffices", status="True", reason="PromptingAsGood", message="m", last_transition_time=NOW
    )
    found = prompting_suffices(forgotten.model_copy(update={"conditions": [told]}))
    assert found is not None and (found.holds, found.reason, found.message) == (True, "PromptingAsGood", "m")


class PromptedWorld(World):
    """The adapter beats the bare student, and few examples in the prompt do as well."""

    def _measured(self, request: StepRequest) -> dict[str, Any]:
        measured = super()._measured(request)
        if "fewShot" in measured["arms"]:
            measured["arms"]["fewShot"]["accuracy"] = 0.34
        if "fewShot" in measured["differences"]:
            measured["differences"]["fewShot"] = {"difference": 0.01, "low": -0.03, "high": 0.05}
        return measured


def test_a_run_says_so_and_promotes_nothing() -> None:
    world = PromptedWorld(spec=run_spec(maxIterations=2), accuracies=[0.3, 0.5, 0.6])
    status = world.to_end()
    held = {entry.type: entry for entry in status.conditions}
    assert status.candidate is None and not [job for job in world.created if job.step == "test"]
    assert (held["PromptingSuffices"].status, held["Completed"].reason) == ("True", "MaxIterations")
    assert "iteration 2 on the validation pool: 0.6000 against 0.3400 of fewShot" in held["PromptingSuffices"].message
