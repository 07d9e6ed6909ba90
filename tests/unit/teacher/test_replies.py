"""The ladder: any text gives objects or a counted failure, and a cut reply is never taken whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.teacher.ledger import Reply
from flywheel.teacher.replies import Read, read_items, read_object

FIELDS = ("question", "answer")
ITEMS = [{"question": {"code": "a { b"}, "answer": {"x": "1"}}, {"question": {"code": "}"}, "answer": {"x": "2"}}]
WHOLE = json.dumps({"exam": ITEMS})


def said(text: str, finish: str = "stop") -> Reply:
    return Reply(text=text, finish_reason=finish)


@pytest.mark.parametrize(
    ("text", "rung"),
    [
        (WHOLE, "strict"),
        (f"Here it is:\n```json\n{WHOLE}\n```\nGood luck!", "block"),
        (f"Here it is: {WHOLE} Good luck!", "block"),
        (json.dumps(ITEMS), "block"),
        (f'First a draft {{"exam": []}}, then the exam: {WHOLE}', "block"),
        (f"1. {json.dumps(ITEMS[0])}\n2. {json.dumps(ITEMS[1])}", "items"),
        (WHOLE[:-2] + ",", "items"),
    ],
)
def test_the_same_items_on_every_rung(text: str, rung: str) -> None:
    read = read_items(said(text), "exam", FIELDS)
    assert (read.items, read.rung) == (ITEMS, rung)


@pytest.mark.parametrize(
    "text", ["I cannot help with that.", "{}", '{"exam": 3}', "[1, 2]", "[{}]", "{" * 10_000, "[" * 10_000]
)
def test_nothing_usable_is_said_so(text: str) -> None:
    assert read_items(said(text), "exam", FIELDS).items == []
    assert read_items(said(text), "exam", FIELDS).rung == "none"


def test_a_reply_of_false_starts_is_given_up() -> None:
    """Each costs a parse: without an end to it a reply of brackets would cost minutes."""
    item = json.dumps(ITEMS[0])
    assert read_items(said("{ " * 900 + item), "exam", FIELDS).items == ITEMS[:1]
    assert read_items(said("{ " * 1100 + item), "exam", FIELDS).items == []


def test_a_cut_reply_gives_its_whole_items_only() -> None:
    cut = WHOLE[: WHOLE.rindex('"answer"')]
    read = read_items(said(cut, "length"), "exam", FIELDS)
    assert (read.items, read.rung) == (ITEMS[:1], "cut")
    assert read_object(said('{"proficiency": 1}', "length"), ("proficiency",)).rung == "cut"


def test_refusals_are_their_own_class() -> None:
    """And never items, whatever else they hold."""
    for finish, rung in (("refusal", "refused"), ("content_filter", "filtered")):
        for text in ("", WHOLE):
            assert read_items(said(text, finish), "exam", FIELDS) == Read([], rung)
            assert read_object(said(text, finish), ("exam",)) == Read([], rung)
    assert read_items(said(" ", "stop"), "exam", FIELDS).rung == "empty"
    assert read_items(said("", "length"), "exam", FIELDS).rung == "cut"


@pytest.mark.parametrize(
    ("before", "finish", "rung"),
    [
        ("<think>An exam {of} 2. </think>\n", "stop", "strict"),
        ('I shall write {"exam": [{"question": {}, "answer": {}}]}.</think>', "stop", "strict"),
        ("<think>", "stop", "empty"),
        ("<think>", "length", "cut"),
        ("<think></think>Here:", "stop", "block"),
    ],
)
def test_reasoning_is_no_part_of_a_reply(before: str, finish: str, rung: str) -> None:
    read = read_items(said(before + WHOLE, finish), "exam", FIELDS)
    assert (read.items, read.rung) == (ITEMS if rung in ("strict", "block") else [], rung)


def test_data_that_speaks_of_reasoning_stays() -> None:
    item = {"question": {"code": "print('</think>')"}, "answer": {}}
    assert read_items(said(json.dumps({"exam": [item]})), "exam", FIELDS).items == [item]


def test_what_is_no_object_in_the_list_is_kept_to_be_counted() -> None:
    assert read_items(said('{"exam": ["text", {"question": {}}]}'), "exam", FIELDS).items == [{}, {"question": {}}]


def test_one_object() -> None:
    grade = {"proficiency": 4, "feedback": {"strengths": [], "weaknesses": []}}
    for text, rung in ((json.dumps(grade), "strict"), (f"```\n{json.dumps(grade)}\n```", "block"), ("4 of 10", "none")):
        read = read_object(said(text), ("proficiency", "feedback"))
        assert (read.items, read.rung) == ([grade] if rung != "none" else [], rung)


@given(st.text(max_size=300) | st.text('{}[]",:`\n 01', max_size=300), st.sampled_from(["stop", "length", ""]))
def test_any_text_gives_objects(text: str, finish: str) -> None:
    read = read_items(said(text, finish), "exam", FIELDS)
    assert all(isinstance(item, dict) for item in read.items)
    assert read_object(said(text, finish), FIELDS).rung in ("strict", "block", "none", "cut", "empty")


words = st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=2)


@given(st.lists(st.fixed_dictionaries({"question": words, "answer": st.just({})}), max_size=3))
def test_items_survive_a_cut_anywhere(items: list[dict[str, object]]) -> None:
    whole = json.dumps({"exam": items})
    for end in range(0, len(whole), 7):
        read = read_items(said(whole[:end], "length"), "exam", FIELDS)
        assert read.items == items[: len(read.items)]
