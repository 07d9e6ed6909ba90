"""Asks the served adapter, by its stable name, through Triton's Service. Must not know what answers mean.

A pod may go away at any moment: a connection that fails, or a 503, is asked once more on another connection, where
the Service has another pod. Nothing else is asked twice: a slow server must not get twice the work.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

log = logging.getLogger("service")

_FAILED = (httpx2.ConnectTimeout, httpx2.NetworkError, httpx2.RemoteProtocolError)
_ANSWER_SECONDS, _CONNECT_SECONDS = 60.0, 5.0
_AT_ONCE = 8
_REFUSED = (400, 500)  # how Triton says that its model would not answer this question


class ServingError(Exception):
    """Nobody can be asked; says what to look at."""


@dataclass(frozen=True)
class Reply:
    """What the model said, and the digest of the adapter that said it."""

    text: str
    served_by: str


class ServedModel:
    """The model behind a name. Connections are not kept: each one may reach another pod."""

    def __init__(self, url: str, model: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._model, self._server = model, url.rstrip("/")
        self._client = httpx2.AsyncClient(
            transport=transport or httpx2.AsyncHTTPTransport(limits=_limits()),
            timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS, pool=None),
            trust_env=False,
        )

    async def ask(self, question: Mapping[str, str]) -> Reply | None:
        """The model's reply, or None where it refuses this question. Raises ServingError."""
        text = json.dumps(question, ensure_ascii=False)
        tensor = {"name": "input", "datatype": "BYTES", "shape": [1, 1], "data": [text]}
        response = await self._post({"inputs": [tensor]})
        if response.status_code in _REFUSED:
            log.warning("%s refused a question (%d): see the log of its pod", self._model, response.status_code)
            return None
        if response.status_code != 200:
            raise ServingError(self._meaning(response.status_code))
        try:
            outputs = {entry["name"]: entry["data"][0] for entry in response.json()["outputs"]}
            return Reply(str(outputs["output"]), str(outputs["served_by"]))
        except (ValueError, LookupError, TypeError) as error:
            text = f"{self._server} answered without output and served_by: is {self._model} served by images/triton?"
            raise ServingError(text) from error

    async def _post(self, body: object) -> httpx2.Response:
        for last in (False, True):
            try:
                response = await self._client.post(f"{self._server}/v2/models/{self._model}/infer", json=body)
            except _FAILED as error:
                if last:
                    raise ServingError(f"{self._server} cannot be reached: has its Service a ready pod?") from error
            except httpx2.HTTPError as error:
                raise ServingError(f"{self._server} did not answer in time: see the log of its pod") from error
            else:
                if response.status_code != 503 or last:
                    return response
        raise AssertionError("the last turn returns or raises")

    def _meaning(self, status: int) -> str:
        if status in (404, 503):
            return f"{self._server} has no model {self._model} ready: has an AdapterDeployment rolled an adapter out?"
        return f"{self._server} answered {status} for {self._model}: is TRITON_URL Triton's HTTP port?"


def _limits() -> httpx2.Limits:
    return httpx2.Limits(max_connections=_AT_ONCE, max_keepalive_connections=0)
