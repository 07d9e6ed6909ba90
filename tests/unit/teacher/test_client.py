"""Against a real HTTP server: which refusal means what, what was paid, no redirect, no reply text in a message."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.api.request import TeacherParameters
from flywheel.teacher.client import (
    HOSTS_VARIABLE,
    KEY_VARIABLE,
    RefusedError,
    TeacherClient,
    UncertainError,
    retry_after,
)
from flywheel.teacher.ledger import Reply
from flywheel.teacher.replies import read_items
from flywheel.workspace.program import TryLaterError

SECRET = "sk-very-secret"
LEAK = "the server's own words"
GOOD: dict[str, Any] = {
    "id": "1",
    "model": "gpt-large-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3},
}


@dataclass
class Script:
    """What the server answers next, and what it was asked."""

    port: int = 0
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def then(self, status: int, body: Any = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body or {"error": {"message": LEAK}}).encode()
        self.answers.append((status, {"retry-after-ms": "1", **headers}, content))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            script.asked.append((self.path, self.headers["authorization"], json.loads(body)))
            status, headers, content = script.answers.pop(0)
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            if "content-length" not in headers:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    monkeypatch.setenv(HOSTS_VARIABLE, "other.example.com, 127.0.0.1")
    yield script
    server.shutdown()
    server.server_close()


def client(script: Script, **changes: Any) -> TeacherClient:
    parameters = {"base_url": f"http://127.0.0.1:{script.port}/v1", "model": "gpt-large", **changes}
    return TeacherClient(TeacherParameters.model_validate(parameters))


def test_a_completion_is_read(script: Script) -> None:
    script.then(200, GOOD)
    reply = client(script, temperature="0.5", max_output_tokens=99).complete("Write.")
    assert (reply.text, reply.finish_reason, reply.model) == ("hello", "stop", "gpt-large-2026")
    assert (reply.input_tokens, reply.output_tokens) == (12, 3)
    ((path, key, body),) = script.asked
    assert (path, key) == ("/v1/chat/completions", f"Bearer {SECRET}")
    assert body == {
        "model": "gpt-large",
        "messages": [{"role": "user", "content": "Write."}],
        "temperature": 0.5,
        "max_completion_tokens": 99,
    }


def test_a_format_is_sent_as_it_is_given(script: Script) -> None:
    script.then(200, GOOD)
    client(script).complete("Write.", response_format={"type": "json_object"})
    assert script.asked[0][2]["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (401, "TeacherKeyRefused", "apiKey"),
        (403, "TeacherKeyRefused", "apiKey"),
        (404, "TeacherUnavailable", "spec.teacher.model"),
        (400, "TeacherUnavailable", "spec.teacher"),
        (302, "TeacherUnavailable", "redirects"),
        (307, "TeacherUnavailable", "redirects"),
    ],
)
def test_refusals_are_not_asked_again(script: Script, status: int, reason: str, words: str) -> None:
    elsewhere = f"http://127.0.0.1:{script.port}/elsewhere"
    script.then(status, location=elsewhere)
    with pytest.raises(TryLaterError, match=words) as raised:
        client(script).complete("Write.")
    assert raised.value.reason == reason
    assert len(script.asked) == 1
    assert LEAK not in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_overload_may_be_asked_again_but_not_down_here(script: Script, status: int) -> None:
    """Each request counts against limits and budget: whoever keeps them repeats it."""
    script.then(status)
    with pytest.raises(RefusedError, match=f"HTTP {status}") as raised:
        client(script).complete("Write.")
    assert raised.value.reason == "TeacherUnavailable" and raised.value.again
    assert raised.value.retry_after == 0.001
    assert len(script.asked) == 1
    assert LEAK not in str(raised.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Sat, 99 Jan 99999 99:99:99 GMT"}, None),
        ({}, None),
    ],
)
def test_what_the_endpoint_asks_to_be_left_alone_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_read_or_left(text: str) -> None:
    assert (retry_after({"retry-after": text}) or 0.0) >= 0.0


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b"{}", b'{"choices": []}', b"\xff"])
def test_what_is_no_completion_is_said_so_and_not_paid(script: Script, body: bytes) -> None:
    script.then(200, body)
    with pytest.raises(RefusedError, match="no chat completion") as raised:
        client(script).complete("Write.")
    assert not raised.value.again


@pytest.mark.parametrize(
    ("message", "text", "finish"),
    [
        ({"content": None}, "", "stop"),
        ({"content": None, "refusal": "I cannot."}, "", "refusal"),
        ({"content": "hello", "refusal": None, "reasoning_content": "hm"}, "hello", "stop"),
        ({"content": "half \ud800"}, "half ?", "stop"),
    ],
)
def test_messages(script: Script, message: dict[str, Any], text: str, finish: str) -> None:
    script.then(200, {**GOOD, "choices": [{"message": message, "finish_reason": "stop"}]})
    reply = client(script).complete("Write.")
    assert (reply.text, reply.finish_reason, reply.metered) == (text, finish, True)


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": 1e99, "completion_tokens": 1}, "x"],
)
def test_a_bill_that_cannot_be_read_is_none(script: Script, usage: Any) -> None:
    script.then(200, {**GOOD, "usage": usage})
    assert not client(script).complete("Write.").metered


def test_cached_tokens_are_read(script: Script) -> None:
    script.then(200, {**GOOD, "usage": GOOD["usage"] | {"prompt_tokens_details": {"cached_tokens": 8}}})
    assert client(script).complete("Write.").cached_tokens == 8


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_bytes_are_a_reply_or_refused(data: st.DataObject) -> None:
    """What was sent is arbitrary, or a completion with arbitrary parts; nothing else ever comes out."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=6,
    )
    parts = {name: st.just(value) | anything for name, value in GOOD.items()}
    body = data.draw(st.binary(max_size=60) | st.fixed_dictionaries({}, optional=parts).map(_json))
    made = TeacherClient.__new__(TeacherClient)
    try:
        reply = made._understood(body)
    except RefusedError:
        return
    assert Reply.model_validate_json(reply.model_dump_json()) == reply
    read = read_items(reply, "exam", ("question", "answer"))
    assert all(isinstance(item, dict) for item in read.items)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_reply_that_goes_on_and_on_is_cut_off(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flywheel.teacher.client.MOST_BYTES", 100)
    script.then(200, {**GOOD, "padding": "x" * 200})
    with pytest.raises(UncertainError, match="broke off"):
        client(script).complete("Write.")


def test_a_reply_that_never_ends_is_cut_off_in_time(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(step=200.0)
    monkeypatch.setattr("flywheel.teacher.client.time.monotonic", lambda: next(ticks))
    made = client(script)
    with pytest.raises(UncertainError, match="callTimeout"):
        made._read_all(itertools.repeat(b" "), 300.0)


def test_a_reply_that_breaks_off_may_have_been_paid(script: Script) -> None:
    script.answers.append((200, {"content-length": "1000"}, b"{"))
    with pytest.raises(UncertainError):
        client(script).complete("Write.")


def test_a_closed_port_is_tried_later(script: Script) -> None:
    with pytest.raises(RefusedError, match="cannot be reached") as raised:
        client(script, base_url="http://127.0.0.1:9/v1").complete("Write.")
    assert raised.value.reason == "TeacherUnavailable"


@pytest.mark.parametrize("missing", [KEY_VARIABLE, HOSTS_VARIABLE])
def test_key_and_hosts_are_both_needed(script: Script, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setenv(missing, "")
    with pytest.raises(TryLaterError, match="apiKey and hosts") as raised:
        client(script)
    assert raised.value.reason == "TeacherSecret"


def test_a_key_from_a_file_is_used_without_its_line_break(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f" {SECRET}\n")
    script.then(200, GOOD)
    client(script).complete("Write.")
    assert script.asked[0][1] == f"Bearer {SECRET}"


@pytest.mark.parametrize("key", ["sk-a\nb", "sk-ü", "sk-a\x01b", "sk-a\r\nHost: evil"])
def test_a_key_that_no_header_can_carry_is_refused(script: Script, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(TryLaterError, match="bare key") as raised:
        client(script).complete("Write.")
    assert raised.value.reason == "TeacherSecret" and "sk-" not in str(raised.value)
    assert script.asked == []


def test_a_host_outside_the_secret_is_refused_before_any_request(script: Script) -> None:
    with pytest.raises(TryLaterError, match="not among the hosts"):
        client(script, base_url=f"http://localhost:{script.port}/v1")
    assert script.asked == []


def test_a_proxy_in_the_environment_does_not_get_the_key(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    script.then(200, GOOD)
    assert client(script).complete("Write.").text == "hello"
