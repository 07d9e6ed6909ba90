"""The firewall knows held-out questions by signatures alone, and pools hold no near-duplicates of each other."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.item import Item
from flywheel.api.leakage import Leakage, Signatures
from flywheel.data.dedup import keep_apart
from flywheel.data.firewall import COPY, NEAR, Firewall, compared, signatures
from flywheel.data.near_duplicates import similarity, sketch
from flywheel.data.normalise import question_id
from flywheel.data.sources import Placed

CODE = "\n".join(f"def read_{name}(path, limit):\n    return open(path).read()[:limit] + {name!r}" for name in "abcd")
HELD_OUT = {"code": CODE, "review": "Close the file."}


def firewall(*questions: dict[str, Any], **leakage: Any) -> Firewall:
    made = signatures(questions, Leakage(**leakage))
    return Firewall(Signatures.model_validate(json.loads(json.dumps(made.to_json_object()))))


def test_copies_and_near_duplicates_are_told_apart() -> None:
    guard = firewall(HELD_OUT, fields=["code"])
    spaced = guard.leak({"code": CODE + "  ", "review": "Close\tthe file."})
    assert spaced is not None
    assert (spaced.reason, spaced.held_out, spaced.similarity) == (COPY, question_id(HELD_OUT), 1.0)
    near = guard.leak({"code": "# mine\n" + CODE.replace("limit", "most"), "review": "Wholly another."})
    assert near is not None
    assert (near.reason, near.held_out) == (NEAR, question_id(HELD_OUT))
    assert guard.leak({"code": "print('something else entirely')", "review": "Close the file."}) is None


def test_all_fields_are_compared_unless_some_are_named() -> None:
    other = {"code": "unlike()", "review": HELD_OUT["review"]}
    assert firewall(HELD_OUT, fields=["review"]).leak(other) is not None
    assert firewall(HELD_OUT).leak(other) is None
    assert compared({"b": ["x", {"c": "y"}], "a": "z", "n": 3}, []) == "z\nx\ny"


def test_signatures_hold_no_text_and_no_order() -> None:
    other = {"code": "x", "review": "canary-text"}
    made = signatures([HELD_OUT, other], Leakage())
    assert made == signatures([other, HELD_OUT], Leakage())
    written = json.dumps(made.to_json_object())
    assert "canary" not in written
    assert "read_a" not in written


WORDS = st.lists(st.sampled_from([f"w{number}" for number in range(6)]), min_size=1, max_size=9).map(" ".join)


@given(st.lists(st.tuples(WORDS, st.sampled_from("abcdef")), max_size=25))
def test_no_two_pools_hold_near_duplicates_and_what_was_trained_on_stays(entries: list[tuple[str, str]]) -> None:
    pools = dict(zip("abcdef", ("exam", "curriculum", "validation", "test", "probe", "curriculum"), strict=True))
    placed = [
        Placed(line, Item(id=str(line), input={"code": text}, output={}, group=group, source="s", truth="Human"))
        for line, (text, group) in enumerate(entries)
    ]
    kept, rejects = keep_apart(placed, Leakage(), pools.__getitem__)
    assert sorted([entry.line for entry in kept] + [reject.line for reject in rejects]) == list(range(len(entries)))
    for one in kept:
        for other in kept:
            if pools[one.item.group] != pools[other.item.group]:
                assert similarity(sketch(one.item.input["code"]), sketch(other.item.input["code"])) < 0.7
    trained = [entry.line for entry in placed if pools[entry.item.group] == "curriculum"]
    assert set(trained) <= {entry.line for entry in kept}
    assert {reject.reason for reject in rejects} <= {"NearDuplicate"}
