"""Quotas are exact, fair, and give the weak labels more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flywheel.data.quotas import even_quotas, portions, weighted_quotas

LABELS = ["critical", "major", "minor", "trivial"]


@given(st.integers(0, 1000), st.integers(2, 16))
def test_even_quotas_are_exact_and_differ_by_one(total: int, labels: int) -> None:
    quotas = even_quotas(total, [str(number) for number in range(labels)])
    assert sum(quotas.values()) == total
    assert max(quotas.values()) - min(quotas.values()) <= 1


@given(st.integers(0, 1000), st.lists(st.floats(0, 1), min_size=2, max_size=16))
def test_weighted_quotas_are_exact_with_a_floor(total: int, weights: list[float]) -> None:
    quotas = weighted_quotas(total, {str(place): weight for place, weight in enumerate(weights)})
    assert sum(quotas.values()) == total
    assert min(quotas.values()) >= total // (2 * len(weights))


@given(st.integers(8, 1000), st.lists(st.floats(0, 1), min_size=2, max_size=16))
def test_a_weaker_label_never_gets_less(total: int, weights: list[float]) -> None:
    quotas = list(weighted_quotas(total, {str(place): weight for place, weight in enumerate(weights)}).values())
    for weight, quota in zip(weights, quotas, strict=True):
        for other_weight, other in zip(weights, quotas, strict=True):
            assert weight <= other_weight or quota >= other


def test_weakness_decides_the_half_above_the_floor() -> None:
    assert weighted_quotas(400, {"critical": 1.0, "major": 0.5, "minor": 0.5, "trivial": 0.0}) == {
        "critical": 150,
        "major": 100,
        "minor": 100,
        "trivial": 50,
    }


def test_no_weakness_is_even() -> None:
    assert weighted_quotas(10, dict.fromkeys(LABELS, 0.0)) == even_quotas(10, LABELS)


@given(st.integers(0, 500), st.integers(1, 20))
def test_portions_are_exact_and_small(count: int, size: int) -> None:
    parts = portions(count, size)
    assert sum(parts) == count
    assert all(0 < part <= size for part in parts)
    assert len(parts) == -(-count // size)
