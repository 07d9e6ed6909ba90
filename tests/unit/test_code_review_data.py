"""The example's data is what its README says: counts, pools, nothing shared with the teacher, no rule ids."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
LABELS = {"critical", "major", "minor", "trivial"}
Item = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def example_modules() -> Iterator[None]:
    """The example's scripts import each other as plain modules beside them."""
    sys.path.insert(0, str(EXAMPLES / "code-review"))
    yield
    sys.path.remove(str(EXAMPLES / "code-review"))


def read(path: Path) -> list[Item]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def source() -> list[Item]:
    return read(EXAMPLES / "code-review" / "datasets" / "findings.jsonl")


@pytest.fixture(scope="module")
def teacher() -> list[Item]:
    return read(EXAMPLES / "rehearsal-teacher" / "teacher.jsonl")


def test_items_are_complete_and_unique(source: list[Item], teacher: list[Item]) -> None:
    for item in [*source, *teacher]:
        assert item["input"]["code"].strip() and item["input"]["review"].strip()
        assert item["output"]["issue_type"] in LABELS
        assert item["package"] and item["file"].endswith(".py") and ":" in item["rule"]
        assert isinstance(item["heldOutRule"], bool)
    ids = [item["id"] for item in [*source, *teacher]]
    codes = [item["input"]["code"] for item in [*source, *teacher]]
    assert len(ids) == len(set(ids))
    assert len(codes) == len(set(codes))


def test_there_are_enough_of_each_label(source: list[Item], teacher: list[Item]) -> None:
    assert len(source) >= 2000
    assert len(teacher) >= 3000
    assert Counter(item["output"]["issue_type"] for item in teacher)["critical"] >= 600


@pytest.mark.parametrize("pool", ["validation", "test"])
def test_held_out_pools_are_large_enough(pool: str, source: list[Item]) -> None:
    from pools import pool_of

    held = [item for item in source if pool_of(item["package"]) == pool]
    counts = Counter(item["output"]["issue_type"] for item in held)
    assert len(held) >= 300
    assert counts.keys() == LABELS and min(counts.values()) >= 60
    assert 0 < sum(item["heldOutRule"] for item in held) <= len(held) / 10


def test_held_out_rules_are_nowhere_else(source: list[Item], teacher: list[Item]) -> None:
    from pools import HELD_OUT, pool_of

    assert all(pool_of(item["package"]) in HELD_OUT for item in source if item["heldOutRule"])
    apart = {item["rule"] for item in source if item["heldOutRule"]}
    trained = [item for item in source if pool_of(item["package"]) not in HELD_OUT]
    assert not apart & {item["rule"] for item in [*trained, *teacher]}


def test_the_teacher_shares_no_package_with_the_source(source: list[Item], teacher: list[Item]) -> None:
    assert not {item["package"] for item in source} & {item["package"] for item in teacher}


def test_reviews_name_no_rule(source: list[Item], teacher: list[Item]) -> None:
    from wordings import topics

    codes = {rule.split(":")[1] for topic in topics() for rule in topic.rules}
    for item in [*source, *teacher]:
        assert not codes & set(re.findall(r"\w+", item["input"]["review"])), item["id"]


def test_code_is_a_whole_unit(source: list[Item], teacher: list[Item]) -> None:
    import ast

    from units import MAX_CHARS

    for item in [*source, *teacher]:
        assert len(item["input"]["code"]) <= MAX_CHARS
        try:
            ast.parse(item["input"]["code"])
        except SyntaxError as error:  # a return, yield or await outside of its function is whole, too
            assert "outside" in str(error), item["id"]


def test_labels_follow_the_table(source: list[Item], teacher: list[Item]) -> None:
    from wordings import topics

    table = {rule: topic for topic in topics() for rule in topic.rules}
    for item in [*source, *teacher]:
        topic = table[item["rule"]]
        assert (item["output"]["issue_type"], item["heldOutRule"]) == (topic.label, topic.held_out)


def test_each_rule_has_one_topic_and_each_topic_four_wordings() -> None:
    from wordings import topics

    rules = Counter(rule for topic in topics() for rule in topic.rules)
    assert max(rules.values()) == 1
    assert all(len(set(topic.wordings)) >= 4 for topic in topics())


def test_wording_depends_on_the_key_alone() -> None:
    from wordings import topics, word

    topic = topics()[0]
    fields = {"name": "shell", "call": "subprocess.run", "unit": None, "line": "2"}
    once = [word(topic, f"key {number}", "source", fields) for number in range(40)]
    again = [word(topic, f"key {number}", "source", dict(fields)) for number in range(40)]
    assert once == again
    assert len(set(once)) > 4


def test_teacher_and_source_each_have_words_of_their_own() -> None:
    from wordings import topics, word

    topic = next(topic for topic in topics() if topic.name == "bare-except")
    said = {
        role: " ".join(str(word(topic, f"key {number}", role, {"line": "1"})) for number in range(60))
        for role in ("source", "teacher")
    }
    assert topic.wordings[-1] in said["source"] and topic.wordings[-1] not in said["teacher"]
    assert topic.wordings[0] in said["teacher"] and topic.wordings[0] not in said["source"]
