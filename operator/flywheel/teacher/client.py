"""One chat completion from any OpenAI-compatible endpoint. Refusals become TryLaterError, in our own words.

Must not know prompts, items or the ledger; the server's reply text never enters a message.
"""

from __future__ import annotations

import logging
import os
import ssl
from typing import Any

import openai
from pydantic import BaseModel, Field, ValidationError

from flywheel.api.conditions import Reason
from flywheel.api.request import TeacherParameters
from flywheel.teacher.addresses import require_allowed
from flywheel.teacher.ledger import Reply
from flywheel.workspace.program import TryLaterError

KEY_VARIABLE, HOSTS_VARIABLE = "FLYWHEEL_TEACHER_API_KEY", "FLYWHEEL_TEACHER_HOSTS"
# A line for every request would push the step's progress out of the lines that the operator reads.
logging.getLogger("httpx2").setLevel(logging.WARNING)
_TIMEOUT = openai.Timeout(300.0, connect=10.0)


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    """As much of a chat completion as is used."""

    model: str = ""
    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None


class RefusedError(TryLaterError):
    """The endpoint answered, and would not: such a call is not paid."""


class TeacherClient:
    """The endpoint of one run. Raises TryLaterError when key or hosts are missing or do not fit."""

    def __init__(self, parameters: TeacherParameters, retries: int = 5) -> None:
        key = os.environ.get(KEY_VARIABLE, "").strip()  # Secrets made from a file end with a line break
        hosts = [host.strip() for host in os.environ.get(HOSTS_VARIABLE, "").split(",") if host.strip()]
        if not key or not hosts:
            raise TryLaterError("the teacher's Secret needs the keys apiKey and hosts", Reason.TEACHER_SECRET)
        if not (key.isascii() and key.isprintable()):
            text = (
                "apiKey of the teacher's Secret holds characters that no HTTP header can carry: put the bare key there"
            )
            raise TryLaterError(text, Reason.TEACHER_SECRET)
        require_allowed(parameters.base_url, hosts)
        self._parameters = parameters

        def guard(request: Any) -> None:
            require_allowed(str(request.url), hosts)

        # No proxy from the environment and no redirect: the key goes to the named hosts and nowhere else.
        self._http = openai.DefaultHttpxClient(
            follow_redirects=False,
            trust_env=False,
            timeout=_TIMEOUT,
            verify=ssl.create_default_context(),
            event_hooks={"request": [guard]},
        )
        # The library waits between retries as Retry-After says, else longer each time.
        self._client = openai.OpenAI(
            api_key=key, base_url=parameters.base_url, http_client=self._http, max_retries=retries
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters of a call that its reply depends on."""
        temperature = self._parameters.temperature
        return {
            "max_completion_tokens": self._parameters.max_output_tokens,
            **({} if temperature is None else {"temperature": float(temperature)}),
        }

    def complete(self, text: str) -> Reply:
        """Ask once; raises TryLaterError where the endpoint refuses or is away."""
        try:
            raw = self._client.chat.completions.with_raw_response.create(
                model=self._parameters.model, messages=[{"role": "user", "content": text}], extra_body=self.settings
            )
        except openai.OpenAIError as error:
            raise self._refusal(error) from error
        return self._read(raw.content)

    def _read(self, body: bytes) -> Reply:
        try:
            completion = _Completion.model_validate_json(body)
        except ValidationError as error:
            text = "the teacher answered with something that is no chat completion: check spec.teacher.baseURL"
            raise TryLaterError(text, Reason.TEACHER_UNAVAILABLE) from error
        choice, usage = completion.choices[0], completion.usage or _Tokens()
        return Reply(
            text=choice.message.content or "",
            finish_reason=choice.finish_reason or "",
            model=completion.model,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
        )

    def _refusal(self, error: openai.OpenAIError) -> TryLaterError:
        where = self._parameters.base_url
        if isinstance(error, openai.APIConnectionError):
            kind = "did not answer in time" if isinstance(error, openai.APITimeoutError) else "cannot be reached"
            return TryLaterError(f"the teacher at {where} {kind}: it is asked again", Reason.TEACHER_UNAVAILABLE)
        status = error.status_code if isinstance(error, openai.APIStatusError) else 0
        if status in (401, 403):
            text = f"the teacher refuses the key (HTTP {status}): put a valid one into apiKey of its Secret"
            return RefusedError(text, Reason.TEACHER_KEY_REFUSED)
        if status == 404:
            model = self._parameters.model
            text = f"the teacher at {where} has no model {model!r} (HTTP 404): check spec.teacher.model and baseURL"
            return RefusedError(text, Reason.TEACHER_UNAVAILABLE)
        if 300 <= status < 400:
            text = f"the teacher at {where} redirects (HTTP {status}), which is not followed: name the final baseURL"
            return RefusedError(text, Reason.TEACHER_UNAVAILABLE)
        if status == 429 or status >= 500:
            text = f"the teacher at {where} is overloaded or ill (HTTP {status}): it is asked again"
            return RefusedError(text, Reason.TEACHER_UNAVAILABLE)
        text = f"the teacher at {where} refuses the request (HTTP {status or 'none'}): check spec.teacher"
        return RefusedError(text, Reason.TEACHER_UNAVAILABLE)
