"""Credentials and TLS: what is taken from a Secret, and what two real servers make of it."""

from __future__ import annotations

import json
import logging
import re
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from certificates import make_certificates
from hypothesis import given
from hypothesis import strategies as st

from flywheel.api.conditions import Reason
from flywheel.api.target import VllmTarget
from flywheel.serving.access import SECRET_KEYS, Access, Server, Trust, credential, trust
from flywheel.serving.calls import Endpoint, ServingPodView, UnloadModel
from flywheel.serving.errors import CertificateError, CredentialError
from flywheel.serving.openai_server import look, perform
from flywheel.serving.triton import TritonPod

KEY, NAME = "s3cret-0d9e4f", "llm.review.svc"
CLAIM = {"persistentVolumeClaim": {"claimName": "models"}}
TARGETS: dict[str, dict[str, Any]] = {
    "triton": {"serviceRef": {"name": "s"}, "model": "severity", "repository": CLAIM},
    "vllm": {"serviceRef": {"name": "s"}, "model": "severity", "baseModel": "student", "store": CLAIM},
    "nim": {"serviceRef": {"name": "s"}, "model": "severity", "baseModel": "student", "store": CLAIM},
}
WHOLE: dict[Server, dict[str, str]] = {
    "triton": {"header": "admin-key", "value": KEY},
    "vllm": {"apiKey": KEY},
    "nim": {"apiKey": KEY},
}
VLLM = VllmTarget.model_validate(TARGETS["vllm"])
servers = st.sampled_from(list(WHOLE))


def never() -> None:
    """One operator needs no Lease."""


def test_headers_are_what_the_servers_read() -> None:
    assert Access(None, credential("triton", WHOLE["triton"], "s")).headers == {"triton-grpc-protocol-admin-key": KEY}
    assert Access(None, credential("vllm", WHOLE["vllm"], "s")).headers == {"authorization": f"Bearer {KEY}"}
    assert Access(None, credential("nim", WHOLE["nim"], "s")).headers == {"authorization": f"Bearer {KEY}"}
    assert Access().headers == {}


# What is in no text of ours, so that finding it in one says where it came from.
MARK = "0x9f"


@given(servers, st.dictionaries(st.sampled_from(["header", "value", "apiKey"]), st.text(max_size=8).map(MARK.__add__)))
def test_what_is_taken_is_a_legal_header_and_what_is_not_is_said_without_the_value(
    server: Server, values: dict[str, str]
) -> None:
    try:
        found = credential(server, values, "Secret x")
    except CredentialError as error:
        assert "Secret x" in str(error) and error.reason is Reason.TARGET_SECRET
        assert MARK not in str(error)
        return
    ((name, value),) = Access(None, found).headers.items()
    assert name == name.lower() and name.isascii() and name.isprintable() and not name.endswith("-bin")
    assert value.isascii() and value.isprintable() and value == value.strip()


@given(servers, st.text(max_size=8), st.sampled_from(["\n", "\r", "\0", "ü", " "]))
def test_a_line_break_at_the_end_of_a_key_is_said(server: Server, start: str, wrong: str) -> None:
    key = "apiKey" if "apiKey" in SECRET_KEYS[server] else "value"
    with pytest.raises(CredentialError, match=f"key {key} of Secret x"):
        credential(server, WHOLE[server] | {key: start + wrong}, "Secret x")


@pytest.mark.parametrize("header", ["Admin-Key", "", "a b", "key-bin", "a:b", "-x", "x" * 64, "key\n"])
def test_a_header_that_no_server_would_read_is_said(header: str) -> None:
    with pytest.raises(CredentialError, match="key header of Secret x must be"):
        credential("triton", {"header": header, "value": KEY}, "Secret x")


@given(st.text(max_size=30), st.text(max_size=30))
def test_what_a_server_says_is_logged_without_the_key(before: str, after: str) -> None:
    access = Access(None, credential("vllm", WHOLE["vllm"], "s"))
    assert KEY not in access.hidden(f"{before}{KEY}{after} Bearer {KEY}")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("pki"), f"DNS:{NAME}")


class Keeper(BaseHTTPRequestHandler):
    """A vLLM for whoever has the key, which repeats the key to everybody. It cannot unload."""

    def do_GET(self) -> None:
        asked = self.rfile.read(int(self.headers.get("content-length") or 0))
        models: list[dict[str, str]] = self.server.models  # type: ignore[attr-defined]
        if self.path == "/health":
            return self._say(200, "")
        if self.headers["authorization"] != f"Bearer {KEY}":
            return self._say(401, f"Unauthorized: {self.headers['authorization']}")
        if self.path == "/v1/models":
            return self._say(200, json.dumps({"data": models}))
        if self.path == "/v1/load_lora_adapter":
            wanted = json.loads(asked)
            models.append({"id": wanted["lora_name"], "root": wanted["lora_path"]})
            return self._say(200, "Success")
        return self._say(500, f"{self.headers['authorization']} cannot do that")

    do_POST = do_GET

    def _say(self, code: int, body: str) -> None:
        self.send_response(code)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def keeper(request: pytest.FixtureRequest, pki: Path) -> Iterator[Endpoint]:
    """Over TLS, unless it is to be without."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keeper)
    server.models = [{"id": "student"}]  # type: ignore[attr-defined]
    if getattr(request, "param", True):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pki / "server.pem", pki / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Endpoint("llm-0", f"127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def access(pki: Path, key: str | None = KEY, ca: str | None = "ca", name: str = NAME) -> Access:
    held = credential("vllm", {"apiKey": key}, "s") if key is not None else None
    signed = trust(name, (pki / f"{ca}.pem").read_text(), "bundle") if ca is not None else Trust(name)
    return Access(signed, held)


@given(st.text(max_size=40).map(lambda text: text.replace("-----BEGIN", "")))
def test_a_bundle_without_certificates_is_none(bundle: str) -> None:
    with pytest.raises(CertificateError, match="bundle holds no certificates"):
        trust(NAME, bundle, "bundle")


@pytest.mark.parametrize("file", ["cert.pem", "ca-certificates.crt"])
def test_without_a_bundle_grpc_trusts_whom_the_system_trusts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    (tmp_path / file).write_bytes(b"those of the system")
    named = str(tmp_path / file) if file == "cert.pem" else None  # Debian names a folder only
    paths = SimpleNamespace(cafile=named, capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert Trust(NAME).roots() == b"those of the system"
    assert Trust(NAME, "own").roots() == b"own"


def seen(endpoint: Endpoint, how: Access) -> ServingPodView:
    return look(endpoint, VLLM, never, how)


def test_with_key_and_ca_a_pod_is_seen(keeper: Endpoint, pki: Path) -> None:
    assert seen(keeper, access(pki)).candidates == {"student": "student"}


@pytest.mark.parametrize(
    ("wrong", "reason", "words"),
    [
        ({"key": "x" * 9}, Reason.TARGET_KEY_REFUSED, "refuses the key: .*credentialsRef"),
        ({"key": None}, Reason.TARGET_KEY_REFUSED, "wants a key: name a Secret"),
        ({"name": "other.review.svc"}, Reason.TARGET_CERTIFICATE, "another name than other.review.svc: .*serverName"),
        ({"name": "10.0.0.7"}, Reason.TARGET_CERTIFICATE, "another name than 10.0.0.7: .*serverName"),
        ({"ca": "other"}, Reason.TARGET_CERTIFICATE, "not trusted: .*caBundleRef"),
        ({"ca": None}, Reason.TARGET_CERTIFICATE, "not trusted: .*caBundleRef"),
    ],
)
def test_each_wrong_way_has_its_own_words(
    keeper: Endpoint, pki: Path, wrong: dict[str, Any], reason: Reason, words: str
) -> None:
    view = seen(keeper, access(pki, **wrong))
    assert view.reason is reason
    assert re.search(words, view.error), view.error
    assert "\n" not in view.error


@pytest.mark.parametrize("keeper", [False], indirect=True)
def test_a_server_without_tls_never_gets_the_key(keeper: Endpoint, pki: Path) -> None:
    view = seen(keeper, access(pki))
    assert view.reason is Reason.TARGET_CERTIFICATE and "does not speak TLS" in view.error
    pod = TritonPod(keeper.address, access=Access(trust(NAME, (pki / "ca.pem").read_text(), "bundle")))
    with pod, pytest.raises(CertificateError, match="does not speak TLS"):
        pod.loaded()


def test_the_key_is_in_no_log_and_no_failure(keeper: Endpoint, pki: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where the server repeats it, and with the client's own logs at their most talkative."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("httpx2").setLevel(logging.DEBUG)
        how = access(pki)
        views = [seen(keeper, how), seen(keeper, access(pki, name="other.review.svc"))]
        failure = perform(UnloadModel(keeper, "severity-0123456789ab"), VLLM, never, how)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    assert failure is not None and "HTTP 500" in failure.message
    assert "[credential] cannot do that" in caplog.text
    assert KEY not in f"{caplog.text} {caplog.records} {failure} {views} {how}"
