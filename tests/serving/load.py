"""Open-loop load on the stable model: each request has its time, whether or not the ones before are answered.

Latency is measured from that time, so a stall is paid for by all requests that it delays. Half of the requests come on
new connections, to the ready pods in turn; half on connections that are kept alive, each to one pod until it breaks: so
do the clients of a Service. One that cannot be sent, is cut off or gets 503 is sent once more, to another connection.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from .server import MODEL

Urls = Callable[[], Sequence[str]]
_KEPT_ALIVE = 8
_LONGEST_SECONDS = 120.0


class _UnavailableError(Exception):
    """503."""


@dataclass(frozen=True)
class Answer:
    """`due`, `sent`, `done`: monotonic seconds; sent is the time of the attempt that was answered."""

    pod: str
    text: str
    revision: str
    due: float
    sent: float
    done: float


@dataclass
class Load:
    """So many requests a second while it is entered. `failures`: unanswered after the second attempt, or refused."""

    urls: Urls
    question: dict[str, str]
    per_second: float
    answers: list[Answer] = field(default_factory=list[Answer])
    failures: list[str] = field(default_factory=list[str])
    retries: int = 0
    _homes: list[str] = field(default_factory=list[str])
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._thread is not None
        self._over.set()
        self._thread.join()

    def until_each_has_answered(self) -> None:
        """Every ready pod, a request that was sent from now on; or one has failed, which says enough."""
        now, failed = time.monotonic(), len(self.failures)
        while not self._over.wait(0.1) and len(self.failures) == failed:
            if {answer.pod for answer in list(self.answers) if answer.sent > now} >= set(self.urls()):
                return

    async def _run(self) -> None:
        self._homes = [self._pod(number) for number in range(_KEPT_ALIVE)]
        tasks: set[asyncio.Task[None]] = set()
        async with _client(kept=0) as fresh, _client(kept=_KEPT_ALIVE) as kept:
            begun, number = time.monotonic(), 0
            while not self._over.is_set():
                due = begun + number / self.per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                client = kept if number % 2 else fresh
                task = asyncio.create_task(self._request(client, number // 2, due, home=bool(number % 2)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
            await asyncio.gather(*tasks)

    async def _request(self, client: httpx.AsyncClient, number: int, due: float, *, home: bool) -> None:
        place = number % _KEPT_ALIVE
        pod = self._homes[place] if home else self._pod(number)
        try:
            try:
                answer = await _ask(client, pod, self.question, due)
            except (httpx.TransportError, _UnavailableError):
                self.retries += 1
                pod = self._pod(number, broken=pod)
                if home:
                    self._homes[place] = pod
                answer = await _ask(client, pod, self.question, due)
            self.answers.append(answer)
        except (httpx.HTTPError, _UnavailableError, ValueError, LookupError) as error:
            self.failures.append(f"{pod}: {type(error).__name__}: {error}")

    def _pod(self, number: int, broken: str = "") -> str:
        """The ready pods in turn."""
        urls = [url for url in self.urls() if url != broken] or [broken]
        return urls[number % len(urls)]


def _client(kept: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
    return httpx.AsyncClient(timeout=_LONGEST_SECONDS, limits=limits, trust_env=False)


async def _ask(client: httpx.AsyncClient, pod: str, question: dict[str, str], due: float) -> Answer:
    """Raises httpx's errors, and _UnavailableError."""
    sent = time.monotonic()
    tensor = {"name": "input", "shape": [1, 1], "datatype": "BYTES", "data": [json.dumps(question)]}
    reply = await client.post(f"{pod}/v2/models/{MODEL}/infer", json={"inputs": [tensor]})
    if reply.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise _UnavailableError
    if reply.status_code != httpx.codes.OK:
        raise ValueError(f"{reply.status_code} {reply.text[:200]}")
    found = {output["name"]: output["data"][0] for output in reply.json()["outputs"]}
    return Answer(pod, found["output"], found["served_by"], due, sent, time.monotonic())
