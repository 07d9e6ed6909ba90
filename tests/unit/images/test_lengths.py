"""What does not fit into the student is left out of training whole, and counted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.item import Example
from flywheel.data.tokens import Encoded, TaskTokens
from flywheel.workspace.program import BadInputError

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "trainer"))

from flywheel_trainer.train import encode


class Spelling:
    """One token a letter."""

    def encode_example(self, question: dict[str, Any], output: dict[str, Any], label_weight: float) -> Encoded:
        ids = [ord(letter) for letter in question["code"] + output["label"]]
        return Encoded(ids=ids, weights=[label_weight] * len(ids))


TOKENS = cast("TaskTokens", Spelling())


def example(length: int, number: int) -> Example:
    return Example(id=str(number), input={"code": "x" * (length - 1)}, output={"label": "y"}, origin="teacher")


@given(st.lists(st.integers(1, 20), min_size=1), st.integers(1, 20))
def test_examples_are_whole_or_left_out(lengths: list[int], context: int) -> None:
    examples = [example(length, number) for number, length in enumerate(lengths)]
    fitting = [number for number, length in enumerate(lengths) if length <= context]
    if not fitting:
        with pytest.raises(BadInputError, match=f"into the model's {context} tokens"):
            encode(TOKENS, examples, context)
        return
    kept, encoded = encode(TOKENS, examples, context)
    assert [int(each.id) for each in kept] == fitting
    assert [len(each.ids) for each in encoded] == [lengths[number] for number in fitting]


def test_a_model_without_a_stated_context_takes_all() -> None:
    assert len(encode(TOKENS, [example(10_000, 1)], None)[0]) == 1
