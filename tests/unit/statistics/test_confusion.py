"""Confusion matrices: hand-counted figures, and what must hold for any answers."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.statistics.confusion import Confusion

LABELS = ("critical", "major", "minor", "trivial")
pairs_of = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from((*LABELS, None))), min_size=1, max_size=60)

# 4 critical (2 right, 1 as major, 1 unparsable), 2 major (1 right, 1 as minor), 2 minor (both right), no trivial.
HAND = [
    ("critical", "critical"),
    ("critical", "critical"),
    ("critical", "major"),
    ("critical", None),
    ("major", "major"),
    ("major", "minor"),
    ("minor", "minor"),
    ("minor", "minor"),
]


def test_figures_counted_by_hand() -> None:
    confusion = Confusion.of(LABELS, HAND)
    assert confusion.counts == ((2, 1, 0, 0, 1), (0, 1, 1, 0, 0), (0, 0, 2, 0, 0), (0, 0, 0, 0, 0))
    assert (confusion.items, confusion.unparsable, confusion.missing) == (8, 1, ("trivial",))
    assert confusion.accuracy == pytest.approx(5 / 8)
    assert confusion.balanced_accuracy == pytest.approx((2 / 4 + 1 / 2 + 2 / 2) / 3)
    assert confusion.recall == {"critical": 0.5, "major": 0.5, "minor": 1.0, "trivial": None}
    assert confusion.precision == {"critical": 1.0, "major": 0.5, "minor": pytest.approx(2 / 3), "trivial": None}
    assert confusion.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 4 / 5) / 3)
    assert confusion.majority == ("critical", 0.5)
    assert confusion.strata == ((2, 4), (1, 2), (2, 2))


def test_majority_of_equals_is_the_first_label() -> None:
    assert Confusion.of(LABELS, [("minor", None), ("major", None)]).majority == ("major", 0.5)


@given(pairs_of)
@settings(deadline=None)
def test_every_item_is_counted_once_and_figures_are_shares(pairs: list[tuple[str, str | None]]) -> None:
    confusion = Confusion.of(LABELS, pairs)
    assert confusion.items == len(pairs) == sum(map(sum, confusion.counts))
    assert confusion.unparsable == sum(answer is None for _, answer in pairs)
    assert confusion.accuracy == pytest.approx(sum(truth == answer for truth, answer in pairs) / len(pairs))
    figures = [confusion.accuracy, confusion.balanced_accuracy, confusion.macro_f1, confusion.majority[1]]
    figures += [value for value in (confusion.recall | confusion.precision).values() if value is not None]
    assert all(0 <= figure <= 1 for figure in figures)


@given(pairs_of, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_items_does_not_matter(pairs: list[tuple[str, str | None]], random: Random) -> None:
    shuffled = pairs.copy()
    random.shuffle(shuffled)
    assert Confusion.of(LABELS, shuffled) == Confusion.of(LABELS, pairs)


@given(pairs_of)
@settings(deadline=None)
def test_a_right_answer_lost_never_raises_a_figure(pairs: list[tuple[str, str | None]]) -> None:
    before = Confusion.of(LABELS, pairs)
    worse = [(truth, None if truth == answer else answer) for truth, answer in pairs]
    after = Confusion.of(LABELS, worse)
    assert after.accuracy == after.balanced_accuracy == after.macro_f1 == 0
    assert after.unparsable - before.unparsable == sum(before.correct.values())


@pytest.mark.parametrize(
    ("labels", "pairs", "message"),
    [
        (LABELS, [("blocker", "minor")], "truth: 'blocker'"),
        (LABELS, [("minor", "Minor")], "answer: 'Minor'"),
        (("minor", "minor"), [], "holds a label twice"),
    ],
)
def test_what_cannot_be_counted_is_refused(labels: tuple[str, ...], pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Confusion.of(labels, pairs)


@pytest.mark.parametrize("figure", ["accuracy", "balanced_accuracy", "macro_f1", "majority", "strata"])
def test_no_items_gives_no_figure(figure: str) -> None:
    with pytest.raises(ValueError, match="no label of"):
        getattr(Confusion.of(LABELS, []), figure)
