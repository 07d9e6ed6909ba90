"""The writer: only items that fit, carry the label asked for and are new; shortages end."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redactors import PLAIN

from flywheel.api.leakage import Leakage
from flywheel.api.money import Allowance
from flywheel.api.request import TeacherParameters
from flywheel.api.task import LabelField, Task
from flywheel.data.firewall import Firewall, signatures
from flywheel.data.normalise import question_id
from flywheel.data.schemas import TaskSchemas
from flywheel.teacher.asking import Teacher
from flywheel.teacher.labelling import Labeller, Panel
from flywheel.teacher.ledger import Ledger, Reply
from flywheel.teacher.prompts import Prompt
from flywheel.teacher.shapes import items_shape
from flywheel.teacher.writing import ITEMS_A_CALL, ROUNDS, Order, Writer
from flywheel.workspace.store import Workspace

LABELS = ["critical", "major"]
TASK = Task(
    instructions="Rate.",
    input_schema={"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    output_schema={"type": "object", "properties": {"issue_type": {"enum": LABELS}}, "required": ["issue_type"]},
    label=LabelField(path="issue_type", order=LABELS),
)
REPAIR = Prompt("repair", "repair 0 {{ mark }} {{ broken }}")
LABELLING = Prompt("labelling", "labels {{ mark }} {{ questions | tojson }}")
PROMPT = Prompt("exam", "{{ label }} {{ count }} {{ mark }}")


def good(code: str, label: str) -> dict[str, Any]:
    return {"question": {"code": code}, "answer": {"issue_type": label}}


class Writing:
    """An endpoint that writes as many items as asked, some of them spoiled by `spoil`, and labels as it wrote."""

    def __init__(self, spoil: list[Any]) -> None:
        self.calls: list[tuple[str, int]] = []
        self.settings: dict[str, Any] = {}
        self.votes = 0
        self._spoil = spoil
        self._wrote: dict[str, str] = {}

    def complete(self, text: str) -> Reply:
        if text.startswith("labels"):
            self.votes += 1
            questions = json.loads(text.split(" ", 2)[2])
            labels = [self.judge(entry["question"]["code"]) for entry in questions]
            said = [{"number": number, "label": label} for number, label in enumerate(labels, start=1)]
            return Reply(text=json.dumps({"labels": said}), finish_reason="stop")
        label, count, mark = text.split()
        self.calls.append((label, int(count)))
        draw = random.Random(text)
        items = [good(f"{mark} {number}", label) for number in range(int(count))]
        if self._spoil:
            items = [draw.choice([item, *self._spoil]) for item in items]
        self._wrote |= {f"{mark} {number}": label for number in range(int(count))}
        return Reply(text=json.dumps({"exam": items}), finish_reason="stop")

    def judge(self, code: str) -> str:
        return self._wrote[code]


def write(
    root: Path, endpoint: Any, quotas: dict[str, int], known: set[str], allowance: Allowance | None = None
) -> tuple[list[Any], Writer]:
    parameters = TeacherParameters(base_url="http://teacher/v1", model="gpt", concurrency=1, allowance=allowance)
    teacher = Teacher(parameters, endpoint, Ledger(Workspace(root), "ledger/ns"), "payer", 1, PLAIN)
    labeller = Labeller(teacher, Panel(LABELLING, {"labels": LABELS}, 3, 1))
    writer = Writer(teacher, TaskSchemas(TASK), "issue_type", known, Firewall(signatures([], Leakage())), labeller)

    def variables(label: str, count: int, _slot: str) -> dict[str, Any]:
        return {"label": label, "count": count}

    order = Order(PROMPT, REPAIR, "exam", "i1", quotas, variables, "questions", items_shape("exam", TASK))
    return writer.write(order), writer


def test_quotas_are_met_exactly_in_small_calls(tmp_path: Path) -> None:
    endpoint = Writing([])
    items, writer = write(tmp_path, endpoint, {"critical": 23, "major": 4}, set())
    assert [item.answer["issue_type"] for item in items] == ["critical"] * 23 + ["major"] * 4
    assert max(count for _, count in endpoint.calls) <= ITEMS_A_CALL
    assert len(endpoint.calls) == 4
    assert endpoint.votes == 2 * 3, "two of three votes settle it, ten questions a call"
    assert writer.rejected.total() == 0


SPOILED = [
    good("known", "critical"),
    good(" known ", "major"),
    {"question": {"code": 3}, "answer": {"issue_type": "major"}},
    {"question": {"code": "x"}, "answer": {"issue_type": "fatal"}},
    {"question": {"code": "\ud800"}, "answer": {"issue_type": "major"}},
    {"answer": {}},
    "text",
    None,
]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.sampled_from(SPOILED), max_size=6),
    st.fixed_dictionaries({label: st.integers(0, 25) for label in LABELS}),
)
def test_whatever_comes_only_good_new_items_stay_and_the_rest_is_counted(
    tmp_path_factory: Any, spoil: list[Any], quotas: dict[str, int]
) -> None:
    known = {question_id({"code": "known"})}
    endpoint = Writing(spoil)
    items, writer = write(tmp_path_factory.mktemp("w"), endpoint, quotas, set(known))
    for label, quota in quotas.items():
        assert sum(item.answer["issue_type"] == label for item in items) <= quota
    identities = [question_id(item.question) for item in items]
    assert len(set(identities)) == len(identities)
    assert not known & set(identities)
    assert len(items) + writer.rejected.total() == sum(count for _, count in endpoint.calls)
    assert len(items) + sum(writer.report(quotas)["short"].values()) == sum(quotas.values())


def test_a_teacher_that_repeats_itself_is_not_asked_for_ever(tmp_path: Path) -> None:
    class Parrot(Writing):
        def same(self, text: str) -> Reply:
            super().complete(text)
            return Reply(text=json.dumps({"exam": [good("same", "major")]}), finish_reason="stop")

        def complete(self, text: str) -> Reply:
            return super().complete(text) if text.startswith("labels") else self.same(text)

        def judge(self, code: str) -> str:
            return "major"

    endpoint = Parrot([])
    items, writer = write(tmp_path, endpoint, {"critical": 0, "major": 5}, set())
    assert len(items) == 1
    assert len(endpoint.calls) == ROUNDS
    assert writer.report({"critical": 0, "major": 5})["short"] == {"major": 4}
    assert writer.short({"critical": 0, "major": 5}) == {"Duplicate": {1: 4}}
    assert writer.rejected["Duplicate"] == ROUNDS - 1


def test_each_label_that_falls_short_has_its_own_reason(tmp_path: Path) -> None:
    """critical is refused, major costs more than there is, minor is empty, trivial is of another label."""

    class Unwilling(Writing):
        def complete(self, text: str) -> Reply:
            label, count, _ = text.split()
            if label == "critical":
                return Reply(text="", finish_reason="content_filter")
            items = [] if label == "minor" else [good(f"{text} {number}", "critical") for number in range(int(count))]
            return Reply(text=json.dumps({"exam": items}), finish_reason="stop")

    quotas = {"critical": 3, "major": 0, "minor": 3, "trivial": 3}
    items, writer = write(tmp_path, Unwilling([]), quotas, set())
    assert not items
    assert writer.short(quotas) == {"Refused": {0: 3}, "RoundsUsed": {2: 3}, "OtherLabel": {3: 3}}
    assert writer.report(quotas)["shortWhy"] == {"critical": "Refused", "minor": "RoundsUsed", "trivial": "OtherLabel"}
    assert writer.told(quotas) == "critical 3 (Refused), minor 3 (RoundsUsed), trivial 3 (OtherLabel)"


def test_what_the_budget_does_not_cover_is_said(tmp_path: Path) -> None:
    class Dear(Writing):
        def complete(self, text: str) -> Reply:
            return super().complete(text).model_copy(update={"input_tokens": 100, "output_tokens": 1000})

    # 20 calls write, 40 vote on what they wrote; then there is no room for the most that one more call can cost.
    quotas = {"critical": 100, "major": 110}
    items, writer = write(tmp_path, Dear([]), quotas, set(), Allowance(tokens=60 * 1100 + 4000))
    assert len(items) == 200
    assert writer.short(quotas) == {"Budget": {1: 10}}


def test_the_label_asked_for_is_checked(tmp_path: Path) -> None:
    class Wrong(Writing):
        def complete(self, text: str) -> Reply:
            return super().complete(text.replace("critical", "major"))

    items, writer = write(tmp_path, Wrong([]), {"critical": 3}, set())
    assert items == []
    assert set(writer.rejected) == {"OtherLabel"}


def test_what_its_own_votes_do_not_confirm_is_written_anew(tmp_path: Path) -> None:
    class Careless(Writing):
        """Every second item is not what it was asked for, as it sees itself when it does not see the label."""

        def judge(self, code: str) -> str:
            return "major" if int(code.rpartition(" ")[2]) % 2 else "critical"

    endpoint = Careless([])
    items, writer = write(tmp_path, endpoint, {"critical": 12}, set())
    assert len(items) == 12 and all(int(item.question["code"].rpartition(" ")[2]) % 2 == 0 for item in items)
    assert writer.rejected["VotedOut"] >= 6
    assert writer.report({"critical": 12})["rejected"]["VotedOut"] == writer.rejected["VotedOut"]


def test_a_teacher_that_never_confirms_itself_is_not_asked_for_ever(tmp_path: Path) -> None:
    class Denying(Writing):
        def judge(self, code: str) -> str:
            return "major"

    endpoint = Denying([])
    items, writer = write(tmp_path, endpoint, {"critical": 5}, set())
    assert items == [] and len(endpoint.calls) == ROUNDS
    assert set(writer.rejected) == {"VotedOut", "Surplus"}
