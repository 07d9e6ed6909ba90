"""Any bytes in a source give items or counted rejects; copies and contradictions are found."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.request import Source
from flywheel.api.task import LabelField, Task
from flywheel.data.dedup import deduplicate
from flywheel.data.schemas import TaskSchemas
from flywheel.data.sources import LONGEST_LINE, Placed, Reject, lines_of, read_source

ORDER = ["critical", "major", "minor", "trivial"]
SOURCE = Source(name="findings", truth="Rule", group="package", path="datasets/findings.jsonl")
TASK = Task(
    instructions="Rate.",
    input_schema={"type": "object", "required": ["code"]},
    output_schema={"type": "object", "properties": {"issue_type": {"enum": ORDER}}, "required": ["issue_type"]},
    label=LabelField(path="issue_type", order=ORDER),
)
SCHEMAS = TaskSchemas(TASK)


def line(code: str = "x = 1", label: str = "minor", package: Any = "click", **more: Any) -> bytes:
    value = {"input": {"code": code}, "output": {"issue_type": label}, "package": package, **more}
    return json.dumps(value).encode() + b"\n"


def read(*lines: bytes) -> list[Placed | Reject]:
    return list(read_source(SOURCE, lines, SCHEMAS))


def test_a_line_becomes_an_item_with_its_group() -> None:
    (entry,) = read(line())
    assert isinstance(entry, Placed)
    assert (entry.item.group, entry.item.source, entry.item.truth) == ("click", "findings", "Rule")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"input": ', "NotJson"),
        (b"[1, 2]", "NotJson"),
        (b"\xff\xfe{}", "NotUtf8"),
        (b" " * LONGEST_LINE + line(), "LineTooLong"),
        (b'{"input": {"code": NaN}, "output": {"issue_type": "minor"}, "package": "a"}', "NotJson"),
        (b'{"input": {"code": "\\ud800"}, "output": {"issue_type": "minor"}, "package": "a"}', "NotJson"),
        (b"[" * 100_000, "NotJson"),
        (line(package=""), "NoGroup"),
        (line(package=None), "NoGroup"),
        (line(package=True), "NoGroup"),
        (line(label="fatal"), "SchemaMismatch"),
        (b'{"package": "a"}', "SchemaMismatch"),
    ],
)
def test_a_bad_line_is_rejected_with_its_number(raw: bytes, reason: str) -> None:
    entries = read(line(), b"\n", raw)
    assert isinstance(entries[1], Reject)
    assert (entries[1].reason, entries[1].line, entries[1].broken) == (reason, 3, True)


@given(st.binary(max_size=200))
def test_any_bytes_give_one_item_or_one_reject(raw: bytes) -> None:
    entries = read(raw)
    assert len(entries) == (1 if raw.strip() else 0)


def kept(*lines: bytes) -> tuple[list[str], dict[int, str]]:
    placed = [entry for entry in read(*lines) if isinstance(entry, Placed)]
    pools = {"trained": "curriculum", "asked": "exam", "held": "validation", "last": "test"}
    items, rejects = deduplicate(placed, "issue_type", lambda group: pools.get(group, "probe"))
    assert not any(reject.broken for reject in rejects)
    return [entry.item.group for entry in items], {reject.line: reject.reason for reject in rejects}


def test_copies_are_kept_once() -> None:
    assert kept(line("a  b"), line("a b"), line("c")) == (["click", "click"], {2: "Duplicate"})


@pytest.mark.parametrize("groups", [("held", "trained", "last"), ("last", "trained", "held"), ("trained", "held")])
def test_of_copies_the_one_that_may_be_trained_on_stays(groups: tuple[str, ...]) -> None:
    groups_kept, reasons = kept(*(line("same", package=group) for group in groups))
    assert groups_kept == ["trained"]
    assert list(reasons.values()) == ["Duplicate"] * (len(groups) - 1)


def test_one_input_with_two_labels_is_rejected_everywhere() -> None:
    groups, reasons = kept(line("same", "major"), line("other"), line(" same ", "minor"))
    assert groups == ["click"]
    assert reasons == {1: "ConflictingLabels", 3: "ConflictingLabels"}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(ORDER), st.sampled_from(["held", "trained"]))))
def test_every_line_is_kept_or_counted_and_no_input_is_kept_twice(rows: list[tuple[str, str, str]]) -> None:
    placed = [entry for entry in read(*(line(*row) for row in rows)) if isinstance(entry, Placed)]
    items, rejects = deduplicate(placed, "issue_type", lambda group: "curriculum" if group == "trained" else "test")
    assert len(items) + len(rejects) == len(rows)
    codes = [entry.item.input["code"] for entry in items]
    assert len(codes) == len(set(codes))


@given(st.lists(st.integers(1, 20), max_size=6), st.booleans())
def test_lines_are_whole_or_too_long_and_never_more(lengths: list[int], ended: bool) -> None:
    raw = [b"x" * length for length in lengths]
    text = b"\n".join(raw) + (b"\n" if ended and raw else b"")
    read_back = [each.rstrip(b"\n") for each in lines_of(io.BytesIO(text), longest=8)]
    assert read_back == [each[:9] for each in raw]


def test_a_byte_order_mark_is_no_fault() -> None:
    (entry,) = read(b"\xef\xbb\xbf" + line())
    assert isinstance(entry, Placed)
