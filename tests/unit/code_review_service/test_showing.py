"""What is logged as propensity is the share with which a finding is shown; nothing severe or unrated is hidden."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from .conftest import ROOT

Load = Callable[[str], ModuleType]
LABELS = ["critical", "major", "minor", "trivial"]
DRAWS = 1000
labels = st.sampled_from(LABELS)
shares = st.floats(min_value=0.001, max_value=1)


@given(st.none() | labels, labels, shares, st.floats(min_value=0, max_value=1, exclude_max=True))
def test_the_propensity_is_the_share_with_which_it_is_shown(
    module: Load, label: str | None, show_from: str, share: float, offset: float
) -> None:
    decide = module("showing").decide
    decisions = [decide(label, show_from, share, (place + offset) / DRAWS) for place in range(DRAWS)]
    (propensity,) = {decision.propensity for decision in decisions}
    shown = sum(decision.shown for decision in decisions)
    assert abs(shown - propensity * DRAWS) <= 1
    # So an estimate over what was shown, each weighed by 1 / propensity, is one over everything.
    assert abs(sum(decision.shown / decision.propensity for decision in decisions) - DRAWS) <= 1 / propensity + 1e-6


@given(st.none() | labels, labels, shares, st.floats(min_value=0, max_value=1, exclude_max=True))
def test_what_is_severe_or_not_rated_is_never_hidden(
    module: Load, label: str | None, show_from: str, share: float, draw: float
) -> None:
    decision = module("showing").decide(label, show_from, share, draw)
    if label is None or LABELS.index(label) <= LABELS.index(show_from):
        assert (decision.shown, decision.propensity) == (True, 1.0)
    else:
        assert decision.propensity == share


def task(example: str) -> Any:
    return yaml.safe_load((ROOT / f"examples/{example}/curriculum.yaml").read_text())["spec"]["task"]


ANSWERS = [
    '{"issue_type": "major"}', ' {"issue_type":"trivial","why":1}\n', '{"issue_type": "fatal"}', '{"issue_type": 1}',
    '["major"]', "major", "", '{"issue_type": "major"} {}', "[" * 5000, '{"issue_type": "major", "explanation": "It."}',
    json.dumps({"issue_type": "minor", "explanation": "x" * 401}), '{"issue_type": "minor", "explanation": null}',
]  # fmt: skip


@pytest.mark.parametrize(("example", "kind"), [("code-review", "Answer"), ("code-review-explained", "ExplainedAnswer")])
def test_questions_and_answers_are_those_of_the_curriculum(module: Load, example: str, kind: str) -> None:
    asked = task(example)
    assert list(module("rating").ORDER) == asked["label"]["order"] == LABELS
    (question,) = module("requested").ReviewRequest(repository="r", findings=[{"code": "x", "review": "y"}]).questions()
    assert list(question) == asked["inputSchema"]["required"] == list(asked["inputSchema"]["properties"])
    for text in ANSWERS:
        try:
            fits = jsonschema.Draft202012Validator(asked["outputSchema"]).is_valid(json.loads(text))
        except (ValueError, RecursionError):
            fits = False
        answer = module("rating").read_answer(text, getattr(module("rating"), kind))
        assert (answer is not None) == (fits and text[:1] != "["), text
