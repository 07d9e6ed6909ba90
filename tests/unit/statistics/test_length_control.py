"""The length-controlled rate: against statsmodels' fit, and judges that look at length, at quality, or at neither."""

from math import tanh
from random import Random

import numpy
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from flywheel.statistics.length_control import length_controlled_rate
from flywheel.statistics.preference import Judged, preference

pairs_of = st.lists(st.tuples(st.sampled_from((1, 0, -1)), st.integers(-300, 300)), min_size=2, max_size=60)


def unzipped(pairs: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [outcome for outcome, _ in pairs], [by for _, by in pairs]


def simulated(seed: int, items: int, quality: float, liking: float) -> tuple[list[int], list[float]]:
    """A candidate that is mostly longer, judged by quality and by length on the logit scale."""
    rng = Random(seed)
    longer_by = [rng.gauss(60, 60) for _ in range(items)]
    spread = float(numpy.std(longer_by))
    shares = [1 / (1 + numpy.exp(-(quality + liking * tanh(by / spread)))) for by in longer_by]
    return [1 if rng.random() < share else -1 for share in shares], longer_by


def test_the_fit_is_that_of_a_library() -> None:
    outcomes, longer_by = simulated(1, 200, 0.4, 1.5)
    outcomes[::7] = [0] * len(outcomes[::7])
    length = numpy.tanh(numpy.array(longer_by) / numpy.std(longer_by))
    design = numpy.column_stack([numpy.ones(200), length])
    design = numpy.vstack([design, [[1.0, 0.0], [0.0, 1.0]]])
    target = numpy.append((1 + numpy.array(outcomes)) / 2, [0.5, 0.5])
    fitted = sm.GLM(target, design, family=sm.families.Binomial()).fit(cov_type="HC0")
    found = length_controlled_rate(outcomes, longer_by, level=0.95)
    assert found is not None
    assert found.value == pytest.approx(1 / (1 + numpy.exp(-fitted.params[0])), abs=1e-6)
    low, high = fitted.params[0] - 1.959964 * fitted.bse[0], fitted.params[0] + 1.959964 * fitted.bse[0]
    # The penalty's own spread, which the library does not count, widens it a little.
    assert found.low == pytest.approx(1 / (1 + numpy.exp(-low)), abs=0.005)
    assert found.high == pytest.approx(1 / (1 + numpy.exp(-high)), abs=0.005)


@given(pairs_of)
def test_swapping_the_arms_mirrors(pairs: list[tuple[int, int]]) -> None:
    outcomes, longer_by = unzipped(pairs)
    one = length_controlled_rate(outcomes, longer_by, level=0.95)
    other = length_controlled_rate([-entry for entry in outcomes], [-by for by in longer_by], level=0.95)
    if one is None or other is None:
        assert one is other is None
        return
    assert one.value == pytest.approx(1 - other.value, abs=1e-6)
    assert one.low == pytest.approx(1 - other.high, abs=1e-6)
    assert 0 <= one.low <= one.value <= one.high <= 1


@given(st.lists(st.integers(-300, 300), min_size=2, max_size=60))
def test_all_ties_are_an_even_rate_and_no_certainty(longer_by: list[int]) -> None:
    found = length_controlled_rate([0] * len(longer_by), longer_by, level=0.95)
    if found is not None:
        assert found.value == pytest.approx(0.5, abs=1e-9)
        assert found.low < 0.5 < found.high


def test_a_judge_of_length_prefers_a_long_arm_and_its_rate_does_not() -> None:
    rng = Random(5)
    rates: list[float] = []
    for _ in range(50):
        longer_by = [rng.gauss(60, 60) for _ in range(200)]
        judged = [Judged("first", "second") if by > 0 else Judged("second", "first") for by in longer_by]
        raw = preference(judged, level=0.95, seed=1, resamples=100).difference
        found = length_controlled_rate([item.outcome for item in judged], longer_by, level=0.95)
        assert raw.low > 0.3 and found is not None
        rates.append(found.value)
    assert sum(rates) / len(rates) == pytest.approx(0.5, abs=0.1)


def test_quality_is_still_seen() -> None:
    covered, above = 0, 0
    for seed in range(200):
        found = length_controlled_rate(*simulated(seed, 200, 1.0, 1.0), level=0.95)
        assert found is not None
        covered += found.low <= 0.7311 <= found.high
        above += found.low > 0.5
    assert 0.91 <= covered / 200 <= 0.99
    assert above >= 120


def test_lengths_that_never_vary_tell_nothing() -> None:
    assert length_controlled_rate([1, 1, -1], [40, 40, 40], level=0.95) is None
    with pytest.raises(ValueError, match="one of each an item"):
        length_controlled_rate([1], [1, 2], level=0.95)
