"""Near-duplicates of real code are found whatever was done to layout, comments and names; other code is left alone."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.data.near_duplicates import SIZE, Known, similarity, sketch

ROOT = Path(__file__).parents[3]
TEXTS = st.text("ab(x.y)= \n'#/", max_size=200)


def labelled() -> Any:
    spec = importlib.util.spec_from_file_location("labelled", ROOT / "examples/code-review/labelled_duplicates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_default_threshold_finds_changed_code_and_nothing_else() -> None:
    made = labelled()
    items = made.sample([json.loads(line) for line in made.FINDINGS.read_text().splitlines()], 700)
    found = made.similarities(items[:200])
    recall = {kind: sum(each >= 0.7 for each in alike) / len(alike) for kind, alike in found.items()}
    assert recall["verbatim"] == recall["indented"] == recall["comments changed"] == 1
    assert recall["reformatted"] >= 0.95
    assert recall["renamed, 20 shingles or more"] >= 0.85
    assert recall["renamed, fewer"] >= 0.75
    assert recall["renamed"] >= 0.65
    unrelated = made.nearest_elsewhere(items, [sketch(item["input"]["code"]) for item in items], 0.5)
    assert sum(each >= 0.7 for each in unrelated) <= 2


def test_short_code_has_a_shape_and_the_shortest_has_none() -> None:
    code = "def total(goods, tax):\n    return sum(each.price for each in goods) * tax"
    renamed = "def whole(items, rate):\n    return sum(one.cost for one in items) * rate"
    swapped = "def whole(items, rate):\n    return sum(items.cost for rate in one) * items"
    assert similarity(sketch(code), sketch(renamed)) == 1
    assert similarity(sketch(code), sketch(swapped)) < 0.7
    assert sketch("def f(x):\n    return x").shape == ()


@given(TEXTS, TEXTS)
def test_similarity_is_a_share_the_same_both_ways_and_whole_for_equal_texts(one: str, other: str) -> None:
    first, second = sketch(one), sketch(other)
    assert 0 <= similarity(first, second) == similarity(second, first) <= 1
    assert similarity(first, first) == (1.0 if first.words else 0.0)


@given(st.lists(TEXTS, max_size=12), TEXTS, st.sampled_from([0.3, 0.5, 0.7, 1.0]))
def test_the_index_overlooks_nothing(texts: list[str], asked: str, threshold: float) -> None:
    known = Known(threshold)
    for place, text in enumerate(texts):
        known.add(str(place), sketch(text))
    best = max((similarity(sketch(asked), sketch(text)) for text in texts), default=0.0)
    near = known.nearest(sketch(asked))
    assert (near[1] if near else 0.0) == (best if best >= threshold else 0.0)


def test_long_texts_are_estimated_and_still_found() -> None:
    words = [f"word{number}" for number in range(3000)]
    whole = sketch(" ".join(words))
    assert len(whole.words) == SIZE
    changed = sketch(" ".join(f"other{place}" if place % 40 == 0 else word for place, word in enumerate(words)))
    known = Known(0.7)
    known.add("whole", whole)
    near = known.nearest(changed)
    assert near is not None  # every 40th word of 4-word shingles: 36 of 44 are shared
    assert near[1] == pytest.approx(36 / 44, abs=0.08)
    assert known.nearest(sketch(" ".join(reversed(words)))) is None


def test_a_sketch_is_the_same_for_ever() -> None:
    assert sketch("return a + b").words == (616780910,)
    assert sketch("").words == ()
