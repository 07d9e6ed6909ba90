"""Against a real HTTP server: which refusal means what, bounded retries, no redirect, no reply text in a message."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flywheel.api.request import TeacherParameters
from flywheel.teacher.client import HOSTS_VARIABLE, KEY_VARIABLE, TeacherClient
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
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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


def client(script: Script, retries: int = 2, **changes: Any) -> TeacherClient:
    parameters = {"base_url": f"http://127.0.0.1:{script.port}/v1", "model": "gpt-large", **changes}
    return TeacherClient(TeacherParameters.model_validate(parameters), retries=retries)


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


@pytest.mark.parametrize("status", [429, 500, 503])
def test_overload_is_asked_again_a_few_times(script: Script, status: int) -> None:
    for _ in range(3):
        script.then(status)
    with pytest.raises(TryLaterError, match=f"HTTP {status}") as raised:
        client(script).complete("Write.")
    assert raised.value.reason == "TeacherUnavailable"
    assert len(script.asked) == 3
    assert LEAK not in str(raised.value)


def test_after_overload_the_reply_is_used(script: Script) -> None:
    script.then(429)
    script.then(200, GOOD)
    assert client(script).complete("Write.").text == "hello"


def test_a_long_retry_after_is_left_to_the_operator(script: Script) -> None:
    script.answers.append((429, {"retry-after": "3600"}, b"{}"))
    with pytest.raises(TryLaterError, match="HTTP 429"):
        client(script).complete("Write.")
    assert len(script.asked) == 1


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b"{}", b'{"choices": []}', b"\xff"])
def test_what_is_no_completion_is_said_so(script: Script, body: bytes) -> None:
    script.then(200, body)
    with pytest.raises(TryLaterError, match="no chat completion"):
        client(script).complete("Write.")


def test_an_empty_message_is_a_refusal_to_be_counted_not_a_crash(script: Script) -> None:
    script.then(200, {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": "stop"}]})
    reply = client(script).complete("Write.")
    assert (reply.text, reply.input_tokens) == ("", 0)


def test_a_closed_port_is_tried_later(script: Script) -> None:
    with pytest.raises(TryLaterError, match="cannot be reached") as raised:
        client(script, retries=0, base_url="http://127.0.0.1:9/v1").complete("Write.")
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
