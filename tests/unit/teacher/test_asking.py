"""Asking under limits and a budget, in virtual time: retries, what is charged, and what is not asked at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import pytest
from crash_points import Disk, watched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redactors import PLAIN

from flywheel.api.conditions import Reason
from flywheel.api.money import Allowance, Prices
from flywheel.api.request import TeacherParameters
from flywheel.teacher.asking import TEMPLATE_TOKENS, TRIES, Clock, Question, Teacher
from flywheel.teacher.client import RefusedError, UncertainError
from flywheel.teacher.ledger import Intent, Ledger, Reply
from flywheel.teacher.prompts import Prompt
from flywheel.workspace.program import BadInputError
from flywheel.workspace.store import Workspace

PROMPT = Prompt("exam", "{{ text }}")
MOST_OUT = 100
BUSY = RefusedError("busy", Reason.TEACHER_UNAVAILABLE, again=True)


class Virtual(Clock):
    """Time passes only where nothing else can happen."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def wait(self, running: Collection[Future[Reply]], seconds: float | None) -> None:
        if running:
            wait(running, None, FIRST_COMPLETED)
        else:
            self.time += max(seconds or 0.0, 1e-6)


class Endpoint:
    """Answers with `used` tokens, after what `trouble` says by the text and the number of the request."""

    def __init__(self, clock: Virtual, trouble: Callable[[str, int], Any] = lambda _text, _number: None) -> None:
        self.settings: dict[str, Any] = {}
        self.clock, self.trouble = clock, trouble
        self.begun: list[tuple[float, str]] = []

    def complete(self, text: str) -> Reply:
        self.begun.append((self.clock.time, text))
        said = self.trouble(text, [asked for _, asked in self.begun].count(text))
        if isinstance(said, BaseException):
            raise said
        usage = {"input_tokens": len(text), "output_tokens": 7}
        return Reply.model_validate({"text": "ok", "finish_reason": "stop", "model": "gpt-1"} | usage | (said or {}))


def teacher(root: Path, endpoint: Endpoint, **parameters: Any) -> Teacher:
    made = TeacherParameters.model_validate(
        {"base_url": "http://teacher/v1", "model": "gpt", "concurrency": 1, "max_output_tokens": MOST_OUT} | parameters
    )
    return Teacher(made, endpoint, Ledger(Workspace(root), "ledger/ns"), "runs/a/exam", 7, PLAIN, clock=endpoint.clock)


def questions(count: int, size: int = 50) -> list[Question]:
    return [Question(PROMPT, {"text": f"{number:0{size - 1}d}"}, f"slot {number}") for number in range(count)]


def most(size: int = 50) -> int:
    return size + TEMPLATE_TOKENS + MOST_OUT


def test_requests_keep_the_pace(tmp_path: Path) -> None:
    endpoint = Endpoint(Virtual())
    teacher(tmp_path, endpoint, requests_per_minute=6, concurrency=4).ask(questions(13))
    assert [began for began, _ in endpoint.begun] == pytest.approx([0.0, *(10.1 * n - 0.5 for n in range(1, 13))])


def test_repeated_requests_keep_the_pace_too(tmp_path: Path) -> None:
    endpoint = Endpoint(Virtual(), lambda _text, number: BUSY if number < 3 else None)
    replies = teacher(tmp_path, endpoint, requests_per_minute=60, concurrency=4).ask(questions(4))
    times = sorted(began for began, _ in endpoint.begun)
    assert len(times) == 12 and None not in replies
    assert times[-1] >= 11 * 1.01 - 0.5


def test_a_retry_after_holds_all_calls_back(tmp_path: Path) -> None:
    wish = RefusedError("busy", Reason.TEACHER_UNAVAILABLE, again=True, retry_after=20.0)
    endpoint = Endpoint(Virtual(), lambda text, number: wish if number == 1 and text.strip("0\n") == "" else None)
    teacher(tmp_path, endpoint).ask(questions(3))
    assert [began >= 20.0 for began, _ in endpoint.begun] == [False, True, True, True]


def test_a_long_retry_after_is_left_to_the_operator(tmp_path: Path) -> None:
    wish = RefusedError("busy", Reason.TEACHER_UNAVAILABLE, again=True, retry_after=3600.0)
    endpoint = Endpoint(Virtual(), lambda _text, _number: wish)
    with pytest.raises(RefusedError):
        teacher(tmp_path, endpoint).ask(questions(3))
    assert len(endpoint.begun) == 1


def test_refusals_that_go_on_are_given_up_and_cost_nothing(tmp_path: Path) -> None:
    endpoint = Endpoint(Virtual(), lambda _text, _number: BUSY)
    asked = teacher(tmp_path, endpoint)
    with pytest.raises(RefusedError):
        asked.ask(questions(2))
    assert max([text for _, text in endpoint.begun].count(text) for _, text in endpoint.begun) == TRIES
    assert endpoint.clock.time > 5.0, "longer each time"
    assert asked.usage.input_tokens == asked.usage.lost_in_flight == 0
    assert not list(tmp_path.rglob("*.json")), "no intent stays of what was refused"


def test_a_reply_that_does_not_arrive_is_charged_and_asked_again(tmp_path: Path) -> None:
    gone = UncertainError("gone", Reason.TEACHER_UNAVAILABLE)
    endpoint = Endpoint(Virtual(), lambda _text, number: (gone, BUSY, gone, None)[number - 1])
    asked = teacher(tmp_path, endpoint)
    asked.ask(questions(1))
    expected = {"calls": 1, "lost_in_flight": 2, "input_tokens": 50 + 2 * (50 + TEMPLATE_TOKENS)}
    assert {name: getattr(asked.usage, name) for name in expected} == expected
    assert asked.usage.output_tokens == 7 + 2 * MOST_OUT
    again = teacher(tmp_path, Endpoint(Virtual()))
    again.ask(questions(1))
    assert again.usage == asked.usage.model_copy(update={"recorded": 1}), "the next attempt counts the same"


def test_a_reply_without_usage_is_charged_as_reserved(tmp_path: Path) -> None:
    endpoint = Endpoint(Virtual(), lambda _text, _number: {"input_tokens": 0, "output_tokens": 0, "metered": False})
    asked = teacher(tmp_path, endpoint)
    asked.ask(questions(2))
    assert asked.usage.input_tokens + asked.usage.output_tokens == 2 * most()


def test_another_model_stops_and_is_charged(tmp_path: Path) -> None:
    endpoint = Endpoint(Virtual(), lambda text, _number: {"model": "owned"} if text.strip().endswith("2") else None)
    asked = teacher(tmp_path, endpoint)
    with pytest.raises(BadInputError, match="another model") as raised:
        asked.ask(questions(5))
    assert raised.value.reason == "TeacherModelChanged" and "owned" not in str(raised.value)
    assert len(endpoint.begun) == 3 and asked.usage.lost_in_flight == 1
    with pytest.raises(BadInputError, match="another model"):
        teacher(tmp_path, Endpoint(Virtual()), served_model="0" * 12).ask(questions(1))


def test_calls_are_made_in_order_while_the_allowance_covers_their_most(tmp_path: Path) -> None:
    """Concurrency does not matter: a call is made where it fits after all before it are settled."""
    made: list[int] = []
    for concurrency in (1, 3, 16):
        endpoint = Endpoint(Virtual())
        asked = teacher(tmp_path / str(concurrency), endpoint, concurrency=concurrency, allowance={"tokens": 600})
        replies = asked.ask(questions(20))
        made.append(sum(reply is not None for reply in replies))
        assert replies[: made[-1]].count(None) == 0
        assert asked.usage.unaffordable == 20 - made[-1]
        assert asked.usage.input_tokens + asked.usage.output_tokens <= 600
        assert asked.ask([]) == []
    assert made == [1 + (600 - most()) // 57] * 3


def test_what_is_recorded_is_used_even_without_an_allowance(tmp_path: Path) -> None:
    teacher(tmp_path, Endpoint(Virtual())).ask(questions(3))
    other = TeacherParameters(base_url="http://teacher/v1", model="gpt", allowance=Allowance(tokens=0))
    poor = Teacher(
        other, Endpoint(Virtual()), Ledger(Workspace(tmp_path), "ledger/ns"), "runs/b/exam", 7, PLAIN, clock=Virtual()
    )
    replies = poor.ask(questions(4))
    assert [reply is None for reply in replies] == [False, False, False, True]
    assert (poor.usage.calls, poor.usage.recorded, poor.usage.unaffordable) == (0, 3, 1)


def charged_on_disk(root: Path) -> tuple[int, int]:
    """What the ledger itself says was charged: each reply, and each request that has none."""
    tokens = lost = 0
    for path in root.rglob("[0-9a-f]*.intent.json"):
        intent = Intent.model_validate_json(path.read_bytes())
        reply_file = path.with_name(path.name.replace("intent", "reply"))
        times = intent.lost
        if reply_file.exists():
            reply = Reply.model_validate_json(reply_file.read_bytes())
            tokens += reply.input_tokens + reply.output_tokens
        elif intent.begun:
            times += 1
        tokens += times * (intent.most_input_tokens + intent.most_output_tokens)
        lost += times
    return tokens, lost


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 40), max_size=3), st.integers(0, 2500), st.sampled_from([1, 3]))
def test_killed_at_any_writes_the_books_are_exact_and_the_budget_holds(
    tmp_path: Path, kills: list[int], tokens: int, concurrency: int
) -> None:
    """Each attempt is killed at some change on disk; the last one says what all of them were charged."""
    root = tmp_path / "w"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    parameters = {"allowance": {"tokens": tokens}, "concurrency": concurrency}
    answered = 0
    for kill in kills:
        endpoint = Endpoint(Virtual())
        with watched(Disk((root,), kill_at=kill)):
            teacher(root, endpoint, **parameters).ask(questions(8))
        answered += len(endpoint.begun)
        assert charged_on_disk(root)[0] <= tokens
    last = Endpoint(Virtual())
    asked = teacher(root, last, **parameters)
    asked.ask(questions(8))
    usage = asked.usage
    assert (usage.input_tokens + usage.output_tokens, usage.lost_in_flight) == charged_on_disk(root)
    assert usage.input_tokens + usage.output_tokens <= tokens
    assert usage.calls + usage.lost_in_flight >= answered + len(last.begun), "whatever was answered is in the books"


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_cost_is_exact(input_tokens: int, output_tokens: int, cached: int) -> None:
    prices = Prices.model_validate(
        {"inputPerMillion": "2.5", "outputPerMillion": "10", "cachedInputPerMillion": "0.625"}
    )
    cached = min(cached, input_tokens)
    micros = (input_tokens - cached) * 2_500_000 + output_tokens * 10_000_000 + cached * 625_000
    cost = prices.cost(input_tokens, output_tokens, cached)
    assert cost * 10**12 == micros
    assert Allowance(cost=cost, prices=prices).covers(input_tokens, output_tokens, cached)
    assert not Allowance(cost=cost, prices=prices).covers(input_tokens, output_tokens + 1, cached)
