"""The way to the teacher: allowed hosts, trusted certificates, a proxy where one is named.

The key goes to hosts of its Secret and nowhere else, proxies included. Must not know what is asked.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from functools import cache
from typing import Any

import httpx2
import openai

from flywheel.api.conditions import Reason
from flywheel.api.request import TeacherParameters
from flywheel.teacher.addresses import require_allowed
from flywheel.workspace.program import TryLaterError

CA_VARIABLE = "FLYWHEEL_TEACHER_CA"
_CONNECT_SECONDS = 10.0


def http_client(parameters: TeacherParameters, hosts: Sequence[str]) -> openai.DefaultHttpxClient:
    """An HTTP client that goes this way only. Raises TryLaterError where the way is not allowed or not there."""
    proxy = parameters.proxy
    if proxy is not None:
        require_allowed(proxy, hosts, field="proxy")
    require_allowed(parameters.base_url, hosts, by_proxy=proxy is not None)

    def guard(request: Any) -> None:
        require_allowed(str(request.url), hosts, by_proxy=proxy is not None)

    # No proxy from the environment and no redirect: the key goes to the named hosts and nowhere else.
    return openai.DefaultHttpxClient(
        follow_redirects=False,
        trust_env=False,
        proxy=proxy,
        timeout=openai.Timeout(parameters.call_timeout_seconds, connect=_CONNECT_SECONDS),
        verify=_trust(parameters),
        event_hooks={"request": [guard]},
    )


def _trust(parameters: TeacherParameters) -> ssl.SSLContext:
    """Whose signatures are trusted: the bundle's alone, or the system's where the run names none."""
    if (bundle := parameters.ca_bundle) is None:
        return _system()
    what = f"key {bundle.key} of ConfigMap {bundle.name} (spec.teacher.caBundleRef)"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(os.environ.get(CA_VARIABLE, "/nowhere"))
        return context
    except FileNotFoundError as error:
        text = f"{what} is not there: create it with the CA certificates of the teacher in PEM"
        raise TryLaterError(text, Reason.TEACHER_CERTIFICATE) from error
    except ssl.SSLError as error:
        text = f"{what} holds no certificates in PEM: put those of the teacher's CA there"
        raise TryLaterError(text, Reason.TEACHER_CERTIFICATE) from error


@cache
def _system() -> ssl.SSLContext:
    return ssl.create_default_context()


def never_sent(error: openai.APIConnectionError) -> bool:
    """Whether a failed request cannot have reached the endpoint, and so cannot have been paid."""
    unsent = httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError
    return isinstance(error.__cause__, unsent)


def untrusted(error: openai.APIConnectionError) -> bool:
    """Whether a connection failed because the other side's certificate is not trusted."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
