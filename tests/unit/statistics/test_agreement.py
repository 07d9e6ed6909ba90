"""Agreement of judge and people, against statsmodels' kappa and what any judge must give."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from flywheel.statistics.agreement import agreement

outcome = st.sampled_from((1, 0, -1))
rows = st.lists(st.tuples(outcome, outcome), min_size=2, max_size=80)


def table(judge: list[int], people: list[int]) -> numpy.ndarray:
    return numpy.array(
        [[sum(pair == (a, b) for pair in zip(judge, people, strict=True)) for b in (1, 0, -1)] for a in (1, 0, -1)]
    )


@given(rows)
def test_kappa_is_that_of_a_library(pairs: list[tuple[int, int]]) -> None:
    judge, people = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = agreement(judge, people, level=0.95).kappa
    if len({*judge, *people}) == 1:
        assert found is None
        return
    assert found is not None
    with numpy.errstate(invalid="ignore"):  # a variance that is nothing, and rounded below it
        reference = cohens_kappa(table(judge, people))
    assert found.value == pytest.approx(reference.kappa, abs=1e-9)
    half = 0.0 if numpy.isnan(reference.std_kappa) else 1.959964 * reference.std_kappa
    assert found.low == pytest.approx(max(-1.0, reference.kappa - half), abs=1e-6)
    assert found.high == pytest.approx(min(1.0, reference.kappa + half), abs=1e-6)


@given(st.lists(outcome, min_size=1, max_size=60))
def test_a_judge_like_people_agrees_wholly(judge: list[int]) -> None:
    found = agreement(judge, judge, level=0.95)
    assert found.share.value == 1 and found.share.low < 1
    assert found.kappa is None or found.kappa.value == pytest.approx(1)


def test_a_judge_that_says_one_thing_has_no_kappa_above_chance() -> None:
    found = agreement([1] * 60, [1] * 40 + [-1] * 20, level=0.95)
    assert found.share.value == pytest.approx(2 / 3)
    assert found.kappa is not None and found.kappa.value == 0


def test_uneven_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="one of each a pair"):
        agreement([1], [1, 0], level=0.95)
