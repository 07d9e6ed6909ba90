"""An unlucky operator: it dies at a write; a write or its answer is lost or refused; news is lost, doubled or late."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import urllib3.exceptions
from bed_watch import News

from flywheel.controller.resources import WATCHED

Object = dict[str, Any]
WriteFault = Literal[
    "dies before",
    "dies after",
    "dies after, back late",
    "answer lost",
    "409 Conflict",
    "429 TooManyRequests",
    "500 InternalError",
]
NewsFault = Literal["dropped", "doubled", "after the next", "5 later", "30 later"]
WRITE_FAULTS: tuple[WriteFault, ...] = get_args(WriteFault)
_LATE: dict[NewsFault, int] = {"after the next": 1, "5 later": 5, "30 later": 30}
_WATCHED = {kind.kind for kind in WATCHED}


class KilledError(SystemExit):
    """The operator's process is dead. No `except Exception` holds it. `late`: it is long before there is another."""

    def __init__(self, late: bool) -> None:
        super().__init__(137)
        self.late = late


@dataclass(frozen=True)
class Refusal:
    """What the API server answers instead of doing it."""

    status: int
    reason: str

    def read(self) -> bytes:
        """As the response that the client reads."""
        return json.dumps({"kind": "Status", "reason": self.reason, "message": "a fault of the test"}).encode()


@dataclass
class UnluckyClient:
    """The official client; `fault` comes over each of the writes in `targets`, once."""

    client: Any
    fault: WriteFault = "dies before"
    targets: frozenset[str] = frozenset()
    writes: list[str] = field(default_factory=list[str])
    hit: list[str] = field(default_factory=list[str])
    _count: Counter[str] = field(default_factory=Counter[str])
    _answers: list[Object] = field(default_factory=list[Object])

    def param_serialize(self, *arguments: Any, **more: Any) -> Any:
        """As it is."""
        return self.client.param_serialize(*arguments, **more)

    def call_api(self, method: str, url: str, headers: Any, body: Any, *rest: Any, **more: Any) -> Any:
        """One request."""
        if method == "GET":
            return self.client.call_api(method, url, headers, body, *rest, **more)
        name = label(method, url, body)
        self._count[name] += 1
        name += f" #{self._count[name]}"
        self.writes.append(name)
        if name not in self.targets:
            return self._write(method, url, headers, body, *rest, **more)
        self.hit.append(name)
        if self.fault.startswith("dies after") or self.fault == "answer lost":
            self._write(method, url, headers, body, *rest, **more)
        if self.fault.startswith("dies"):
            raise KilledError(late=self.fault.endswith("late"))
        if self.fault == "answer lost":
            raise urllib3.exceptions.ProtocolError("connection lost")
        status, reason = self.fault.split()
        return Refusal(int(status), reason)

    def take_answers(self) -> list[Object]:
        """Objects as the API server answered since the last call: watches must tell of them."""
        taken, self._answers = self._answers, []
        return taken

    def _write(self, *request: Any, **more: Any) -> Any:
        response = self.client.call_api(*request, **more)
        data = response.read()
        if response.status < 400:
            answer = json.loads(data)
            if answer["kind"] in _WATCHED:
                self._answers.append(answer)
        return response


def label(method: str, url: str, body: Any) -> str:
    """A write in words that are the same in every namespace: what is done to what."""
    said = json.loads(body) if isinstance(body, str) else body
    path = re.sub(r"\?.*|.*/namespaces/[^/]+/", "", url)
    if path == "events" and method == "POST":
        path += f"/{said['regarding']['name']} {said['reason']}: {said['note']}"
    elif method == "POST":
        path += f"/{(said.get('metadata') or {}).get('name')}"
    elif "status" in said:
        status = said["status"]
        path += f" {status.get('iteration', status.get('rollouts'))} {status.get('step')} {_reason(status)}"
    return f"{method} {without_uid(path)}"


def _reason(status: Object) -> str:
    return next(entry["reason"] for entry in status["conditions"] if entry["type"] == "Ready")


def without_uid(text: str) -> str:
    """Names of Jobs hold five characters of their owner's uid."""
    return re.sub(r"-[0-9a-f]{5}-(?=\d+-)", "-", text)


@dataclass
class UnluckyNews:
    """Watch events on their way; `fault` comes over those whose number (from 1) `when` picks."""

    fault: NewsFault = "dropped"
    when: Callable[[int], bool] = lambda _number: False
    seen: int = 0
    hit: int = 0
    _held: list[tuple[int, News]] = field(default_factory=list[tuple[int, News]])

    def pass_on(self, news: News) -> list[News]:
        """What arrives in its place."""
        self.seen += 1
        late = [held for due, held in self._held if due == self.seen]
        if not self.when(self.seen):
            return [news, *late]
        self.hit += 1
        if self.fault in _LATE:
            self._held.append((self.seen + _LATE[self.fault], news))
        return [news, news, *late] if self.fault == "doubled" else late
