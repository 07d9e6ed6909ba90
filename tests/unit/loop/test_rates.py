"""How often runs over simulated paired answers are promoted or ended by mistake, by the decisions themselves.

Two arms differ on 15 % of 300 items, as in SCIENCE. `pytest -rP` on this file prints the rates beside those of the
rules that a run could have had instead. Intervals are Tango's; those of balanced accuracy are held against the truth
in tests/unit/statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from statistics import mean

import pytest
from resources import digest, flywheel_run, run_spec
from scipy.stats import binom

from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import (
    AcceptedStep,
    Arm,
    Best,
    FlywheelRunStatus,
    Gain,
    Iteration,
    Measured,
    RunUsage,
    TestReport,
)
from flywheel.api.model import decimal_text
from flywheel.api.result import MeasureFigures
from flywheel.loop.gate import deserves_test, passes
from flywheel.loop.openings import held_out_spent, opened, share_of_alpha
from flywheel.loop.stopping import stop_after
from flywheel.statistics.paired import PairedDifference, Pairs, tango
from flywheel.statistics.resampling import binomial_draws

ITEMS, DISCORDANT, BASE = 300, 0.15, 0.6
RUNS, ITERATIONS = 1000, 10
CHANCE = 1e-4  # that a test fails though all is well
STEP = AcceptedStep(name="validate", attempt=1, digest=digest("x"))
UNTRAINED = [Arm(name="base", accuracy=decimal_text(BASE), low="0.5", high="0.7")]


def gain_of(pairs: Pairs, versus: str, level: float) -> Gain:
    found: PairedDifference = tango(pairs, level=level)
    low, high = decimal_text(found.low), decimal_text(found.high)
    return Gain(versus=versus, difference=decimal_text(found.difference), low=low, high=high)


def at_most(hits: int, runs: int, rate: float) -> bool:
    """Whether so many hits may well come of a rate that is not above this."""
    return bool(binom.sf(hits - 1, runs, rate) > CHANCE)


def at_least(hits: int, runs: int, rate: float) -> bool:
    return bool(binom.cdf(hits, runs, rate) > CHANCE)


# Promotion


def worthless(random: Random) -> Pairs:
    """An adapter that is no better than base on one pool: what it wins and loses comes out even in the long run."""
    (differing,) = binomial_draws(ITEMS, DISCORDANT, 1, random)
    (wins,) = binomial_draws(differing, 0.5, 1, random)
    return Pairs(wins, differing - wins, ITEMS)


def report_of(pairs: Pairs, number: int, spec: FlywheelRunSpec) -> TestReport:
    gain = gain_of(pairs, "base", float(1 - share_of_alpha(spec)))
    accuracy = decimal_text(BASE + pairs.difference)
    return TestReport(
        iteration=number, passed=False, accuracy=accuracy, low="0", high="1", arms=UNTRAINED, gains=[gain]
    )


@dataclass
class Fate:
    """What became of one run: how often it opened the test pool, whether it promoted, its best gain on validation."""

    openings: int
    promoted: bool
    best: float
    ever_above: bool  # whether any adapter seemed proven better on the validation pool


def fate(spec: FlywheelRunSpec, random: Random, every_iteration_is_tested: bool = False) -> Fate:
    status = FlywheelRunStatus(baseline=UNTRAINED)
    best, above = -1.0, False
    for number in range(1, ITERATIONS + 1):
        pairs = worthless(random)
        gain = gain_of(pairs, "base", 0.95)
        above = above or float(gain.low) > 0
        if pairs.difference > best:
            best = pairs.difference
            accuracy = decimal_text(BASE + best)
            found = Best(iteration=number, digest=digest("a"), accuracy=accuracy, train=STEP, validated=STEP)
            status = status.model_copy(update={"best": found})
        wanted = every_iteration_is_tested or deserves_test(spec, status, Iteration(number=number, gains=[gain]))
        if not wanted or held_out_spent(status, spec):
            continue
        spent = float(share_of_alpha(spec)) * (status.test_openings + 1)
        figures = MeasureFigures(step="test", items=ITEMS, arms={}, openings=status.test_openings + 1, spent=spent)
        status = status.model_copy(update=opened(status, figures))
        if passes(spec.gate, status, report_of(worthless(random), number, spec)):
            return Fate(status.test_openings, True, best, above)
    return Fate(status.test_openings, False, best, above)


def fates(seed: int, alpha: str, openings: int, every_iteration_is_tested: bool = False) -> Iterator[Fate]:
    spec = flywheel_run(run_spec() | {"gate": {"alpha": alpha, "maxTestOpenings": openings}}).spec
    random = Random(seed)
    for _ in range(RUNS):
        yield fate(spec, random, every_iteration_is_tested)


def test_runs_of_worthless_adapters_promote_nearly_nothing() -> None:
    found = list(fates(1, "0.05", 5))
    promoted, naive = sum(one.promoted for one in found), sum(one.ever_above for one in found)
    opened = mean(one.openings for one in found)
    print(f"null runs that promote: {promoted / RUNS:.1%}; test pool opened {opened:.2f} times a run")
    print(f"null runs that promote where validation decides alone: {naive / RUNS:.1%}")
    print(f"best of {ITERATIONS} worthless adapters on validation: +{100 * mean(one.best for one in found):.1f} points")
    assert at_most(promoted, RUNS, 0.05)
    assert at_least(naive, RUNS, 0.12), "the rule that this one replaces is as bad as was said"
    assert 0.03 < mean(one.best for one in found) < 0.04


@pytest.mark.parametrize(("alpha", "openings"), [("0.05", 5), ("0.05", 1), ("0.2", 4)])
def test_the_gate_alone_holds_alpha_over_all_openings(alpha: str, openings: int) -> None:
    """Even where every worthless adapter comes to the test."""
    found = list(fates(2, alpha, openings, every_iteration_is_tested=True))
    promoted = sum(one.promoted for one in found)
    print(f"alpha {alpha} over {openings} openings: {promoted / RUNS:.1%} of null runs promote")
    assert max(one.openings for one in found) == openings
    assert at_most(promoted, RUNS, float(alpha))
    assert promoted > 0, "a gate that lets nothing through proves nothing"


def test_a_gate_without_shares_would_not_hold_alpha() -> None:
    """The control: five openings at alpha each, as five runs over one pool were before their openings were counted."""
    random = Random(4)
    promoted = sum(any(float(gain_of(worthless(random), "x", 0.8).low) > 0 for _ in range(5)) for _ in range(RUNS))
    print(f"alpha 0.2 at each of 5 openings: {promoted / RUNS:.1%} of null runs promote")
    assert not at_most(promoted, RUNS, 0.2)


# Plateau

STEPS, PATIENCE = 12, 3
FLIPS = 0.055  # of the items between two iterations: 15 % over three


def climb(points: float, random: Random) -> list[list[bool]]:
    """Which items each iteration answers rightly, where the truth gains so many points an iteration."""
    right = [random.random() < 0.5 for _ in range(ITEMS)]
    found, accuracy = [right], 0.5
    for _ in range(STEPS):
        lose, win = (FLIPS - points) / 2 / accuracy, (FLIPS + points) / 2 / (1 - accuracy)
        right = [random.random() >= lose if was else random.random() < win for was in right]
        accuracy += points
        found.append(right)
    return found


def ends(points: float, seed: int, runs: int) -> tuple[int, int, float]:
    """Runs ended by the plateau; by a rule that takes an interval with 0 in it for one; share of answers differing."""
    spec = flywheel_run(run_spec(maxIterations=99, plateau={"patience": PATIENCE, "minDelta": "0.03"})).spec
    random = Random(seed)
    ended = naive = differing = looks = 0
    for _ in range(runs):
        told, told_naively = False, False
        answers = climb(points, random)
        for number in range(PATIENCE + 1, STEPS + 1):
            now, before = answers[number], answers[number - PATIENCE]
            wins = sum(new and not old for new, old in zip(now, before, strict=True))
            losses = sum(old and not new for new, old in zip(now, before, strict=True))
            gain = gain_of(Pairs(wins, losses, ITEMS), "patience", 0.95)
            measured = Measured(accuracy=decimal_text(sum(now) / ITEMS), low="0", high="1")
            end = stop_after(spec, Iteration(number=number, validation=measured, gains=[gain]), RunUsage())
            told = told or (end is not None and end.reason == "Plateau")
            told_naively = told_naively or float(gain.low) <= 0
            differing, looks = differing + wins + losses, looks + ITEMS
        ended, naive = ended + told, naive + told_naively
    return ended, naive, differing / looks


def test_a_run_that_gains_is_not_ended_and_a_flat_one_is() -> None:
    runs = 300
    gaining, gaining_naive, differing = ends(0.02, 5, runs)
    flat, flat_naive, _ = ends(0.0, 6, runs)
    print(f"{differing:.1%} of the answers differ over {PATIENCE} iterations, minDelta 0.03, {STEPS} iterations")
    print(f"runs that gain 2 points an iteration, ended: {gaining / runs:.1%}; by 'interval contains 0': ", end="")
    print(f"{gaining_naive / runs:.1%}")
    print(f"runs that gain nothing, ended: {flat / runs:.1%}; by 'interval contains 0': {flat_naive / runs:.1%}")
    assert 0.13 < differing < 0.17
    assert at_most(gaining, runs, 0.02)
    assert at_least(gaining_naive, runs, 0.5), "the rule that this one replaces is as bad as was said"
    assert at_least(flat, runs, 0.8)
