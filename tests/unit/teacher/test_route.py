"""The way to the teacher, against real servers: TLS with a CA of its own, and a forward proxy."""

from __future__ import annotations

import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from certificates import make_certificates

from flywheel.api.request import TeacherParameters
from flywheel.teacher.client import HOSTS_VARIABLE, KEY_VARIABLE, RefusedError, TeacherClient
from flywheel.teacher.route import CA_VARIABLE
from flywheel.workspace.program import TryLaterError

SECRET = "sk-very-secret"
NAME = "teacher.invalid"  # RFC 6761: no name server knows it
BUNDLE = {"caBundle": {"name": "corp-ca"}}
COMPLETION = {"model": "m", "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}


class Teaching(BaseHTTPRequestHandler):
    """Any request is answered; `asked` of the server keeps path and headers."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, self.headers))  # type: ignore[attr-defined]
        content = json.dumps(COMPLETION).encode()
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Forwarding(Teaching):
    """A forward proxy: tunnels by CONNECT, and repeats what is sent to it in full. It knows every name."""

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.path, self.headers))  # type: ignore[attr-defined]
        if self.server.status != 200:  # type: ignore[attr-defined]
            self.send_error(self.server.status)  # type: ignore[attr-defined]
            return
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2]))) as far:
            ends = {self.connection: far, far: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)


@contextmanager
def serving(handler: type[Teaching], context: ssl.SSLContext | None = None, status: int = 200) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked, server.status = [], status  # type: ignore[attr-defined]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server's certificate by it, and another CA."""
    return make_certificates(tmp_path_factory.mktemp("pki"), f"IP:127.0.0.1,DNS:{NAME}")


@pytest.fixture
def tls(pki: Path) -> Iterator[Any]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    with serving(Teaching, context) as server:
        yield server


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    monkeypatch.setenv(HOSTS_VARIABLE, f"127.0.0.1,{NAME}")


def ask(url: str, **changes: Any) -> str:
    teacher = TeacherClient(TeacherParameters.model_validate({"baseUrl": url, "model": "m", **changes}))
    try:
        return teacher.complete("Write.").text
    finally:
        teacher.close()


def test_headers_and_query_are_in_every_request_and_only_the_query_is_part_of_the_call() -> None:
    more: dict[str, Any] = {
        "headers": [{"name": "openai-organization", "value": "org-1 (x)"}, {"name": "user-agent", "value": "me"}],
        "query": [{"name": "api-version", "value": "2026-01 a&b=c"}],
    }
    with serving(Teaching) as server:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        assert ask(url, **more) == "hello"
        ((path, headers),) = server.asked
    assert path == "/v1/chat/completions?api-version=2026-01+a%26b%3Dc"
    assert (headers["openai-organization"], headers["user-agent"]) == ("org-1 (x)", "me")
    assert headers["authorization"] == f"Bearer {SECRET}"

    def key(**changes: Any) -> Any:
        return TeacherClient(TeacherParameters.model_validate({"baseUrl": url, "model": "m", **changes})).settings

    plain = key()
    assert key(headers=more["headers"], proxy="http://127.0.0.1:9") == plain == {"max_completion_tokens": 4096}
    assert key(query=more["query"]) == plain | {"query": {"api-version": "2026-01 a&b=c"}}


def test_a_ca_of_its_own_is_trusted_where_it_is_named(tls: Any, pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CA_VARIABLE, str(pki / "ca.pem"))
    assert ask(f"https://127.0.0.1:{tls.server_port}/v1", **BUNDLE) == "hello"


@pytest.mark.parametrize("bundle", ["other", None])
def test_a_certificate_of_another_ca_is_said_and_not_paid(
    tls: Any, pki: Path, monkeypatch: pytest.MonkeyPatch, bundle: str | None
) -> None:
    monkeypatch.setenv(CA_VARIABLE, str(pki / f"{bundle}.pem"))
    with pytest.raises(RefusedError, match="caBundleRef") as raised:
        ask(f"https://127.0.0.1:{tls.server_port}/v1", **(BUNDLE if bundle else {}))
    assert raised.value.reason == "TeacherCertificate" and not raised.value.again
    assert tls.asked == []


@pytest.mark.parametrize(
    ("content", "words"), [(None, "is not there"), ("", "no certificates"), ("x", "no certificates")]
)
def test_a_bundle_that_is_none_is_said_before_any_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv(CA_VARIABLE, str(tmp_path / "ca.pem"))
    with pytest.raises(TryLaterError, match=f"key ca.crt of ConfigMap corp-ca .*{words}") as raised:
        ask("https://127.0.0.1:9/v1", **BUNDLE)
    assert raised.value.reason == "TeacherCertificate"


def test_a_proxy_tunnels_looks_names_up_and_never_sees_the_key(
    tls: Any, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CA_VARIABLE, str(pki / "ca.pem"))
    with serving(Forwarding) as proxy:
        url = f"https://{NAME}:{tls.server_port}/v1"
        assert ask(url, **BUNDLE, proxy=f"http://127.0.0.1:{proxy.server_port}") == "hello"
        ((path, headers),) = proxy.asked
    assert path == f"{NAME}:{tls.server_port}"
    assert SECRET not in str(headers)
    assert tls.asked[0][1]["authorization"] == f"Bearer {SECRET}"


def test_plain_http_goes_through_the_proxy_too() -> None:
    with serving(Teaching) as proxy:
        assert ask(f"http://{NAME}/v1", proxy=f"http://127.0.0.1:{proxy.server_port}") == "hello"
        ((path, _),) = proxy.asked
    assert urlsplit(path).hostname == NAME
    with serving(Teaching, status=407) as proxy, pytest.raises(RefusedError, match="wants a name and a password"):
        ask(f"http://{NAME}/v1", proxy=f"http://127.0.0.1:{proxy.server_port}")


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_will_not_is_said_and_not_paid(status: int) -> None:
    with serving(Forwarding, status=status) as proxy:
        with pytest.raises(RefusedError, match=f"by the proxy http://127.0.0.1:{proxy.server_port}") as raised:
            ask(f"https://{NAME}/v1", proxy=f"http://127.0.0.1:{proxy.server_port}")
        assert len(proxy.asked) == 1
    assert raised.value.again


@pytest.mark.parametrize(
    ("url", "proxy", "words"),
    [
        (f"https://{NAME}/v1", "http://localhost:{port}", "host localhost is not among the hosts"),
        ("https://evil.example.com/v1", "http://127.0.0.1:{port}", "host evil.example.com is not among the hosts"),
        ("https://169.254.169.254/v1", "http://127.0.0.1:{port}", "no key is sent there"),
        ("https://2852039166/v1", "http://127.0.0.1:{port}", "no key is sent there"),
        (f"https://{NAME}/v1", "http://169.254.169.254", "no key is sent there"),
        (f"https://{NAME}/v1", "http://127.0.0.1:99999", "spec.teacher.proxy 'http://127.0.0.1:99999' is no http"),
    ],
)
def test_with_a_proxy_the_key_still_goes_to_the_named_hosts_only(
    monkeypatch: pytest.MonkeyPatch, url: str, proxy: str, words: str
) -> None:
    monkeypatch.setenv(HOSTS_VARIABLE, f"127.0.0.1,{NAME},169.254.169.254,2852039166")
    with serving(Forwarding) as server:
        with pytest.raises(TryLaterError, match=words):
            ask(url, proxy=proxy.format(port=server.server_port))
        assert server.asked == []
