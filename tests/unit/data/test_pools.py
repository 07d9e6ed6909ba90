"""Pools: fixed for ever by key and group, in the asked proportions."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.data.pools import POOLS, BadRatiosError, Thresholds, group_digests

RATIOS = {name: Decimal(share) for name, share in zip(POOLS, ("0.25", "0.35", "0.18", "0.18", "0.04"), strict=True)}


def test_published_assignment_stays() -> None:
    """Changing these would move items that were trained on into a held-out pool."""
    pools = Thresholds("review-2026", RATIOS)
    assert [pools.pool(group) for group in ("django", "flask", "numpy", "requests", "pip", "äöü")] == PUBLISHED


PUBLISHED = ["exam", "exam", "exam", "validation", "exam", "curriculum"]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(max_size=63))
def test_every_group_has_one_pool_and_keeps_it(group: str, key: str) -> None:
    key = key.encode("utf-8", "ignore").decode()
    assert Thresholds(key, RATIOS).pool(group) == Thresholds(key, dict(RATIOS)).pool(group)


def test_shares_are_about_the_ratios() -> None:
    pools = Thresholds("key", RATIOS)
    counts = Counter(pools.pool(f"group {number}") for number in range(20_000))
    for pool, share in RATIOS.items():
        assert counts[pool] / 20_000 == pytest.approx(float(share), abs=0.01)


def test_a_pool_with_ratio_zero_gets_nothing() -> None:
    pools = Thresholds("key", {"exam": Decimal(0), "curriculum": Decimal(1)})
    assert {pools.pool(str(number)) for number in range(100)} == {"curriculum"}


def test_another_key_gives_other_pools() -> None:
    groups = [f"group {number}" for number in range(100)]
    one, other = Thresholds("one", RATIOS), Thresholds("other", RATIOS)
    assert [one.pool(group) for group in groups] != [other.pool(group) for group in groups]


@given(st.lists(st.integers(0, 100), min_size=5, max_size=5))
def test_ratios_must_add_up(parts: list[int]) -> None:
    ratios = {name: Decimal(part) / 100 for name, part in zip(POOLS, parts, strict=True)}
    if sum(parts) == 100:
        Thresholds("key", ratios)
    else:
        with pytest.raises(BadRatiosError, match="not to 1"):
            Thresholds("key", ratios)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9)), st.randoms())
def test_a_card_names_each_group_once_and_the_same_everywhere(groups: list[str], random: Random) -> None:
    found = group_digests(groups)
    assert len(found) == len(set(groups)) and not set(found) & set(groups)
    random.shuffle(groups)
    assert group_digests([*groups, *groups[:2]]) == found
    assert {digest for group in groups for digest in group_digests([group])} == set(found)


def test_unknown_pool_is_named() -> None:
    with pytest.raises(BadRatiosError, match="holdout"):
        Thresholds("key", {"holdout": Decimal(1)})
