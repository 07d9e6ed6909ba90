"""The same item has the same id, however it is spaced; another item has another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flywheel.data.normalise import item_id, normalised, question_id

QUESTION = {"code": "os.system(cmd)", "review": "A shell runs what the user typed."}


def test_spacing_and_unicode_form_do_not_matter() -> None:
    spaced = {"code": "  os.system(cmd)\r\n", "review": "A shell\truns what  the user\u00a0typed."}
    assert question_id(spaced) == question_id(QUESTION)
    assert question_id({"code": "ﬁle", "review": "é"}) == question_id({"code": "file", "review": "e\u0301"})


def test_case_order_of_fields_and_values_matter_as_they_should() -> None:
    assert question_id(dict(reversed(QUESTION.items()))) == question_id(QUESTION)
    assert question_id({**QUESTION, "code": "OS.system(cmd)"}) != question_id(QUESTION)
    assert item_id(QUESTION, {"issue_type": "major"}) != item_id(QUESTION, {"issue_type": "minor"})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_normalising_twice_changes_nothing(value: object) -> None:
    once = normalised(value)
    assert normalised(once) == once
