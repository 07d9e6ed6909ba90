"""One chat completion from any OpenAI-compatible endpoint. Refusals become RefusedError, in our own words.

Must not know prompts, items, limits or budgets, nor ask twice; the server's reply text never enters a message.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2
import openai
from pydantic import BaseModel, Field, ValidationError

from flywheel.api.conditions import Reason
from flywheel.api.request import TeacherParameters
from flywheel.teacher.ledger import REFUSAL, Reply
from flywheel.teacher.route import http_client, never_sent, untrusted
from flywheel.workspace.program import TryLaterError

KEY_VARIABLE, HOSTS_VARIABLE = "FLYWHEEL_TEACHER_API_KEY", "FLYWHEEL_TEACHER_HOSTS"
# A line for every request would push the step's progress out of the lines that the operator reads.
logging.getLogger("httpx2").setLevel(logging.WARNING)
# No completion is longer: what goes on and on is not read to its end.
MOST_BYTES = 32 * 1024 * 1024


class _Message(BaseModel):
    """Reasoning, where a server tells it apart, is not read: the reply is what comes after it."""

    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Cached(BaseModel):
    cached_tokens: int | None = Field(default=None, ge=0, le=10**9)


class _Tokens(BaseModel):
    prompt_tokens: int = Field(ge=0, le=10**9)
    completion_tokens: int = Field(ge=0, le=10**9)
    prompt_tokens_details: _Cached | None = None


class _Answer(BaseModel):
    model: str | None = None
    choices: list[_Choice] = Field(min_length=1)


class _Bill(BaseModel):
    usage: _Tokens


class RefusedError(TryLaterError):
    """The endpoint answered, and would not: such a request is not paid. `again`: it may be repeated."""

    def __init__(self, message: str, reason: Reason, again: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message, reason)
        self.again = again
        self.retry_after = retry_after


class UncertainError(TryLaterError):
    """The request may have been answered, and so paid, but its reply did not arrive."""


class TeacherClient:
    """The endpoint of one run. Raises TryLaterError when key or hosts are missing or do not fit."""

    def __init__(
        self, parameters: TeacherParameters, key_variable: str = KEY_VARIABLE, hosts_variable: str = HOSTS_VARIABLE
    ) -> None:
        key = os.environ.get(key_variable, "").strip()  # Secrets made from a file end with a line break
        hosts = [host.strip() for host in os.environ.get(hosts_variable, "").split(",") if host.strip()]
        if not key or not hosts:
            raise TryLaterError("the teacher's Secret needs the keys apiKey and hosts", Reason.TEACHER_SECRET)
        if not (key.isascii() and key.isprintable()):
            text = (
                "apiKey of the teacher's Secret holds characters that no HTTP header can carry: put the bare key there"
            )
            raise TryLaterError(text, Reason.TEACHER_SECRET)
        self._parameters = parameters
        self._http = http_client(parameters, hosts)
        # Each request counts against limits and budget, so none is repeated down here.
        self._client = openai.OpenAI(api_key=key, base_url=parameters.base_url, http_client=self._http, max_retries=0)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters of a call that its reply depends on."""
        return call_settings(self._parameters)

    def complete(self, text: str, response_format: dict[str, Any] | None = None) -> Reply:
        """One request. Raises RefusedError where the endpoint will not, UncertainError where no reply arrived."""
        deadline = time.monotonic() + self._parameters.call_timeout_seconds
        try:
            with self._client.chat.completions.with_streaming_response.create(
                model=self._parameters.model,
                messages=[{"role": "user", "content": text}],
                extra_body=_body(self._parameters) | ({"response_format": response_format} if response_format else {}),
                extra_query=_query(self._parameters),
                # Not as the client's defaults: those lose against the library's own.
                extra_headers={header.name: header.value for header in self._parameters.headers},
            ) as response:
                body = self._read_all(response.iter_bytes(), deadline)
        except openai.OpenAIError as error:
            raise self._refusal(error) from error
        except httpx2.HTTPError as error:
            raise self._cut_off() from error
        return self._understood(body)

    def _read_all(self, chunks: Iterator[bytes], deadline: float) -> bytes:
        body = bytearray()
        for chunk in chunks:
            body += chunk
            # The library's time-out is for each part of a reply, not for all of it.
            if len(body) > MOST_BYTES or time.monotonic() > deadline:
                raise self._cut_off()
        return bytes(body)

    def _cut_off(self) -> UncertainError:
        where, seconds = self._parameters.base_url, self._parameters.call_timeout_seconds
        words = (
            f"a reply of the teacher at {where} broke off, or was not whole in {seconds} s (spec.teacher.limits"
            f".callTimeout) and {MOST_BYTES // 2**20} MiB: it is asked again"
        )
        return UncertainError(words, Reason.TEACHER_UNAVAILABLE)

    def _understood(self, body: bytes) -> Reply:
        """Whatever comes is a reply, or refused: only what holds a completion or a bill has been paid."""
        body = _writable(body)
        answer, bill = _as(_Answer, body), _as(_Bill, body)
        if answer is None and bill is None:
            text = "the teacher answered with something that is no chat completion: check spec.teacher.baseURL"
            raise RefusedError(text, Reason.TEACHER_UNAVAILABLE)
        choice = answer.choices[0] if answer is not None else _Choice(message=_Message())
        refused = choice.message.refusal is not None and not (choice.message.content or "").strip()
        usage = bill.usage if bill is not None else _Tokens(prompt_tokens=0, completion_tokens=0)
        cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details is not None else None
        return Reply(
            text=choice.message.content or "",
            finish_reason=REFUSAL if refused else (choice.finish_reason or "")[:64],
            model=((answer.model or "") if answer is not None else "")[:256],
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cached_tokens=cached or 0,
            metered=bill is not None,
        )

    def _refusal(self, error: openai.OpenAIError) -> TryLaterError:
        where, proxy = self._parameters.base_url, self._parameters.proxy
        if isinstance(error, openai.APIConnectionError):
            if untrusted(error):
                words = f"the certificate of the teacher at {where} is not trusted: put its CA's into the ConfigMap of"
                return RefusedError(f"{words} spec.teacher.caBundleRef", Reason.TEACHER_CERTIFICATE)
            if never_sent(error):
                by_proxy = f" by the proxy {proxy}" if proxy is not None else ""
                words = f"the teacher at {where} cannot be reached{by_proxy}: it is asked again"
                return RefusedError(words, Reason.TEACHER_UNAVAILABLE, again=True)
            return self._cut_off()
        status = error.status_code if isinstance(error, openai.APIStatusError) else 0
        if status in (401, 403):
            text = f"the teacher refuses the key (HTTP {status}): put a valid one into apiKey of its Secret"
            return RefusedError(text, Reason.TEACHER_KEY_REFUSED)
        if status == 407:
            text = f"the proxy {proxy} of spec.teacher.proxy wants a name and a password: name one that does not"
            return RefusedError(text, Reason.TEACHER_UNAVAILABLE)
        if status == 404:
            model = self._parameters.model
            text = f"the teacher at {where} has no model {model!r} (HTTP 404): check spec.teacher.model and baseURL"
            return RefusedError(text, Reason.TEACHER_UNAVAILABLE)
        if 300 <= status < 400:
            text = f"the teacher at {where} redirects (HTTP {status}), which is not followed: name the final baseURL"
            return RefusedError(text, Reason.TEACHER_UNAVAILABLE)
        if status in (408, 409, 429) or status >= 500:
            text = f"the teacher at {where} is overloaded or ill (HTTP {status}): it is asked again"
            seconds = retry_after(error.response.headers) if isinstance(error, openai.APIStatusError) else None
            return RefusedError(text, Reason.TEACHER_UNAVAILABLE, again=True, retry_after=seconds)
        text = f"the teacher at {where} refuses the request (HTTP {status or 'none'}): "
        if (wanted := self._parameters.structured_outputs) is not None:
            text += f"perhaps it has no {wanted}, or not for this task's schemas: change spec.teacher"
            text += ".structuredOutputs or leave it out; or "
        text += "check spec.teacher"
        return RefusedError(text, Reason.TEACHER_UNAVAILABLE)


def call_settings(parameters: TeacherParameters) -> dict[str, Any]:
    """What a reply depends on, as the ledger knows it. Headers, proxy and certificates are only the way."""
    query = _query(parameters)
    return _body(parameters) | ({"query": query} if query else {})


def _body(parameters: TeacherParameters) -> dict[str, Any]:
    temperature = parameters.temperature
    return {
        "max_completion_tokens": parameters.max_output_tokens,
        **({} if temperature is None else {"temperature": float(temperature)}),
    }


def _query(parameters: TeacherParameters) -> dict[str, str]:
    return {parameter.name: parameter.value for parameter in parameters.query}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to be left alone, or None: retry-after-ms, or Retry-After in seconds or as a date.

    RFC 9110, section 10.2.3.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "")
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            return float(text) * scale
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


Part = TypeVar("Part", bound=BaseModel)


def _as(kind: type[Part], body: bytes) -> Part | None:
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        return None


def _writable(body: bytes) -> bytes:
    """The same JSON, where half a surrogate pair, which no file could hold, is a question mark; else nothing."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace")
    except (ValueError, RecursionError):
        return b""
