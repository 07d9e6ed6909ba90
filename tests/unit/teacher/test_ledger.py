"""The ledger: no recorded call is asked again; a call that was cut off is, and is counted."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redactors import PLAIN

from flywheel.api.conditions import Reason
from flywheel.api.request import TeacherParameters
from flywheel.teacher.asking import TEMPLATE_TOKENS, Question, Teacher
from flywheel.teacher.client import RefusedError
from flywheel.teacher.ledger import Call, Intent, Ledger, Reply
from flywheel.teacher.prompts import Prompt
from flywheel.workspace.program import FruitlessError
from flywheel.workspace.store import Workspace

CALL = Call("sha256:t", {"label": "major"}, "gpt", {"temperature": 0.5}, "exam", "slot", 0, 7)
PROMPT = Prompt("exam", "Write {{ count }}: {{ mark }}")
PARAMETERS = TeacherParameters(base_url="http://teacher/v1", model="gpt", concurrency=3)


class Scripted:
    """An endpoint that counts what it is asked, and is killed or away where the script says so."""

    def __init__(self, fail_after: int = 10**9, error: type[BaseException] = RefusedError) -> None:
        self.asked: Counter[str] = Counter()
        self._left = fail_after
        self._error = error
        self._lock = threading.Lock()
        self.settings: dict[str, Any] = {}

    def complete(self, text: str) -> Reply:
        with self._lock:
            if self._left == 0:
                raise self._error("away", Reason.TEACHER_KEY_REFUSED)
            self._left -= 1
            self.asked[text] += 1
        return Reply(text=f"reply to {text}", finish_reason="stop", input_tokens=10, output_tokens=5)


def teacher(root: Path, endpoint: Scripted, payer: str = "runs/a/iter-1/exam", seed: int = 7) -> Teacher:
    return Teacher(PARAMETERS, endpoint, Ledger(Workspace(root), "ledger/ns"), payer, seed, PLAIN)


def questions(count: int) -> list[Question]:
    return [Question(PROMPT, {"count": number}, f"slot {number}") for number in range(count)]


@pytest.mark.parametrize(
    "change",
    [
        {"template": "sha256:u"},
        {"variables": {"label": "minor"}},
        {"model": "other"},
        {"parameters": {}},
        {"purpose": "dataset"},
        {"slot": "other"},
        {"sample": 1},
        {"seed": 8},
    ],
)
def test_everything_that_a_reply_depends_on_is_in_the_key(change: dict[str, Any]) -> None:
    other = replace(CALL, **change)
    assert other.key != CALL.key
    assert other.mark != CALL.mark


def test_the_same_call_is_the_same_request() -> None:
    again = replace(CALL, variables=dict(CALL.variables))
    assert (again.key, again.mark) == (CALL.key, CALL.mark)
    assert CALL.mark not in CALL.key


def test_intent_is_on_disk_before_the_call_and_the_reply_before_its_use(tmp_path: Path) -> None:
    ledger = Ledger(Workspace(tmp_path), "ledger/ns")
    seen: list[list[str]] = []

    class Watching(Scripted):
        def complete(self, text: str) -> Reply:
            seen.append([path.suffixes[-2] for path in tmp_path.rglob("*.json")])
            return super().complete(text)

    Teacher(PARAMETERS, Watching(), ledger, "payer", 7, PLAIN).ask(questions(1))
    assert seen == [[".intent"]]
    (reply,) = tmp_path.rglob("*.reply.json")
    assert reply.parent.name == reply.name[:2]
    assert reply.parent.parent == tmp_path / "ledger/ns"


def test_recorded_calls_are_free_for_everyone(tmp_path: Path) -> None:
    first, second = Scripted(), Scripted()
    told = teacher(tmp_path, first).ask(questions(5))
    other_run = teacher(tmp_path, second, payer="runs/b/iter-1/exam")
    assert other_run.ask(questions(5)) == told
    assert second.asked.total() == 0
    assert (other_run.usage.calls, other_run.usage.recorded, other_run.usage.input_tokens) == (0, 5, 0)


def test_another_seed_is_asked_anew(tmp_path: Path) -> None:
    endpoint = Scripted()
    teacher(tmp_path, endpoint, seed=1).ask(questions(2))
    teacher(tmp_path, endpoint, seed=2).ask(questions(2))
    assert endpoint.asked.total() == 4


@pytest.mark.parametrize("killed_after", range(6))
def test_killed_anywhere_nothing_recorded_is_paid_twice(tmp_path: Path, killed_after: int) -> None:
    """The endpoint goes away after so many replies; the next attempt asks only what has no reply on disk."""
    first, second = Scripted(killed_after, SystemExit), Scripted()
    with pytest.raises(SystemExit):
        teacher(tmp_path, first).ask(questions(6))
    cut_off = len(list(tmp_path.rglob("*.intent.json"))) - killed_after
    again = teacher(tmp_path, second)
    replies = again.ask(questions(6))
    assert max((first.asked + second.asked).values()) == 1
    said = [reply.text.split(":")[0] for reply in replies if reply]
    assert said == [f"reply to Write {number}" for number in range(6)]
    # The step reports what both attempts paid, and what was under way when the first ended.
    assert (again.usage.calls, again.usage.recorded) == (6, killed_after)
    assert again.usage.output_tokens == 30 + cut_off * PARAMETERS.max_output_tokens, "charged as reserved"
    assert again.usage.lost_in_flight == cut_off > 0


@pytest.mark.parametrize("payer", ["runs/a/iter-1/exam", "another run"])
@pytest.mark.parametrize("begun", [True, False], ids=["cut off", "refused at last"])
def test_an_intent_without_reply_is_asked_again_and_counted(tmp_path: Path, begun: bool, payer: str) -> None:
    ledger = Ledger(Workspace(tmp_path), "ledger/ns")
    (question,) = questions(1)
    call = Call(PROMPT.digest, question.variables, "gpt", {}, "exam", question.slot, 0, 7)
    intent = Intent(
        purpose="exam",
        slot=question.slot,
        sample=0,
        model="gpt",
        template=PROMPT.digest,
        payer=payer,
        most_input_tokens=100,
        most_output_tokens=1,
        lost=2,
        begun=begun,
    )
    ledger.intend(call.key, intent)
    for attempt in range(3):
        endpoint = Scripted()
        asked = teacher(tmp_path, endpoint)
        asked.ask([question])
        assert endpoint.asked.total() == (attempt == 0)
        own = payer != "another run"
        assert asked.usage.lost_in_flight == (2 + begun) * own, "whoever counts, and however often"
        reserved = len(PROMPT.render(question.variables, call.mark)) + TEMPLATE_TOKENS
        assert asked.usage.input_tokens == 10 + reserved * asked.usage.lost_in_flight


def test_a_failure_ends_the_asking_but_keeps_what_was_paid(tmp_path: Path) -> None:
    endpoint = Scripted(2)
    with pytest.raises(RefusedError):
        teacher(tmp_path, endpoint).ask(questions(50))
    assert len(list(tmp_path.rglob("*.reply.json"))) == 2
    again = teacher(tmp_path, Scripted())
    again.ask(questions(50))
    assert (again.usage.calls, again.usage.recorded) == (50, 2)
    assert again.usage.lost_in_flight == 0, "what the endpoint refused was never under way"


def test_an_unreadable_entry_is_said_and_not_paid_again_in_silence(tmp_path: Path) -> None:
    teacher(tmp_path, Scripted()).ask(questions(1))
    (reply,) = tmp_path.rglob("*.reply.json")
    reply.write_text('{"text": ')
    endpoint = Scripted()
    with pytest.raises(FruitlessError, match=reply.name):
        teacher(tmp_path, endpoint).ask(questions(1))
    assert endpoint.asked.total() == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12))
def test_replies_come_in_the_order_of_the_questions(tmp_path_factory: pytest.TempPathFactory, count: int) -> None:
    done: list[int] = []
    replies = teacher(tmp_path_factory.mktemp("w"), Scripted()).ask(questions(count), done.append)
    assert [int(reply.text.split()[3].rstrip(":")) for reply in replies if reply] == list(range(count))
    assert done == list(range(1, count + 1))
