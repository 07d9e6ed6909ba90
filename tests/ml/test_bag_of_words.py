"""Word counts: what words tell is learnt, rare labels count as much as common ones, and nothing else is looked at."""

from __future__ import annotations

import random

import pytest
from mlbed import LABELS, make_items


def pairs(count: int, seed: int) -> list[tuple[dict[str, object], str]]:
    return [(item.input, str(item.output["issue_type"])) for item in make_items(count, seed)]


def test_what_words_tell_is_learnt_whatever_the_order_of_the_items() -> None:
    from flywheel_student.bag_of_words import BagOfWords

    examples, asked = pairs(40, 1), pairs(48, 2)
    questions = [question for question, _ in asked]
    found = BagOfWords(LABELS, examples).answers(questions)
    assert found == [label for _, label in asked]
    random.Random(3).shuffle(examples)
    assert BagOfWords(LABELS, examples).answers(questions) == found


def test_words_count_by_their_field() -> None:
    from flywheel_student.bag_of_words import BagOfWords

    examples = [({"code": "alpha", "review": "beta"}, "major"), ({"code": "beta", "review": "alpha"}, "minor")] * 3
    bag = BagOfWords(LABELS, examples)
    assert bag.answers([question for question, _ in examples[:2]]) == ["major", "minor"]


def test_a_rare_label_counts_as_much_as_a_common_one() -> None:
    from flywheel_student.bag_of_words import BagOfWords

    common, rare = ({"review": "crash here"}, "critical"), ({"review": "crash there"}, "minor")
    bag = BagOfWords(LABELS, [common] * 60 + [rare] * 3)
    assert bag.answers([{"review": "crash there"}]) == ["minor"]


@pytest.mark.parametrize("examples", [[({"review": "one"}, "major")], [({"review": ""}, "major"), ({}, "major")]])
def test_without_a_word_that_is_known_the_labels_alone_decide(examples: list[tuple[dict[str, object], str]]) -> None:
    from flywheel_student.bag_of_words import BagOfWords

    assert BagOfWords(LABELS, examples).answers([{"review": "never seen"}, {}]) == ["major", "major"]
