"""The real host, queues, reconciles and client on a real API server, without kopf, threads or waiting.

Time is virtual: it goes on only when the cluster is at rest, and then at once to the next timer. Watch events are real.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bed_control_plane import ROOT
from bed_faults import KilledError, UnluckyClient, UnluckyNews
from bed_node import Node, Script, over, request_of
from bed_operator import IMAGES
from bed_watch import News
from virtual_time import InlineLoop

from flywheel.controller.apply import Tools
from flywheel.controller.cache import Cache
from flywheel.controller.client import Api, Bucket
from flywheel.controller.health import Health
from flywheel.controller.host import Host
from flywheel.controller.labels import REREADS
from flywheel.controller.metrics import Metrics
from flywheel.controller.observe_jobs import JOB_UID
from flywheel.controller.resources import JOB, POD, WATCHED, Resource
from flywheel.controller.settings import Settings

Object = dict[str, Any]
TEMPLATE = (ROOT / "prompts" / "task.j2").read_text()
REST_SECONDS = 120.0  # limit for the controllers of Kubernetes
LIFE_SECONDS = 4 * 3600.0  # limit in virtual time
AFTERWARDS_SECONDS = 61.0  # one more listing after the end: nothing may come of it


class View:
    """The namespace as the watches tell it: complete, whatever the operator is told."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        self.ever: dict[str, dict[str, str]] = {kind.kind: {} for kind in WATCHED}  # names by uid, also of what is gone

    def take(self, kind: Resource, event: Object) -> None:
        """News of an object."""
        item, there = event["object"], self._objects.setdefault(kind.kind, {})
        uid = item["metadata"]["uid"]
        if event["type"] == "DELETED":
            there.pop(uid, None)
        else:
            there[uid] = item
            reread = (item["metadata"].get("labels") or {}).get(REREADS)
            self.ever[kind.kind][uid] = item["metadata"]["name"] + (f", reads {reread} again" if reread else "")

    def all(self, kind: Resource) -> list[Object]:
        """Objects of a kind."""
        return list(self._objects.get(kind.kind, {}).values())

    def status(self, kind: Resource, name: str) -> Object:
        """Status of an object; empty where there is none."""
        return next((item.get("status") or {} for item in self.all(kind) if item["metadata"]["name"] == name), {})

    def shows(self, answer: Object) -> bool:
        """Whether the watch has told of what a write was answered with."""
        uid, version = answer["metadata"].get("uid"), answer["metadata"].get("resourceVersion")
        known = next((there[uid] for there in self._objects.values() if uid in there), None)
        if known is None:
            return any(uid in names for names in self.ever.values())  # it was there, and is gone
        return int(known["metadata"]["resourceVersion"]) >= int(version)

    def moves(self, script: Script) -> bool:
        """Whether a controller of Kubernetes or the node has still something to do."""
        pods = self.all(POD)
        return any(_job_moves(job, pods) for job in self.all(JOB)) or any(_pod_moves(pod, script) for pod in pods)


def _job_moves(job: Object, pods: list[Object]) -> bool:
    if job["metadata"].get("deletionTimestamp"):
        return True
    own = [pod for pod in pods if pod["metadata"]["labels"].get(JOB_UID) == job["metadata"]["uid"]]
    return not ended(job) and all(over(pod) for pod in own)


def _pod_moves(pod: Object, script: Script) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return True
    return not over(pod) and not script(request_of(pod)).hold


def ended(job: Object) -> bool:
    """Complete or Failed."""
    found = (job.get("status") or {}).get("conditions") or []
    return any(entry["type"] in ("Complete", "Failed") and entry["status"] == "True" for entry in found)


@dataclass(frozen=True)
class Act:
    """What a user does at the first rest at which this holds."""

    when: Callable[[View], bool]
    kind: Resource
    name: str
    spec: Object


@dataclass(frozen=True)
class Luck:
    """What goes wrong between an operator and the API server."""

    client: UnluckyClient
    news: UnluckyNews


@dataclass
class Driver:
    """One namespace, its node, and an operator, or several at once. Killed ones are followed by new ones."""

    api: Api
    namespace: str
    feed: queue.SimpleQueue[News]
    script: Script
    done: Callable[[View], bool]
    lucks: list[Luck]
    acts: list[Act] = field(default_factory=list[Act])
    deaths: int = 0

    def __post_init__(self) -> None:
        self.node, self.view = Node(self.api, self.namespace, self.script), View()
        self._began, self._seconds = datetime.now(UTC), 0.0
        self._moved_at = time.monotonic()
        self._ends_at: float | None = None
        self._owed: list[Object] = []
        self._hosts: list[tuple[Host, UnluckyNews]] = []

    def run(self) -> None:
        """Live until `done` holds, and a while longer."""
        while (death := self._lives()) is not None:
            self.deaths += 1
            while death.late and (self._told() or self._goes_on()):
                pass

    def _lives(self) -> KilledError | None:
        loop = self._loop = InlineLoop(self._idle, self._seconds)
        try:
            loop.run_until_complete(self._live())
            return None
        except KilledError as death:
            return death
        finally:
            self._hosts, self._seconds = [], loop.time()
            loop.jump.idle = lambda: True
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    async def _live(self) -> None:
        self._over = asyncio.Event()
        settings = Settings(images=IMAGES, template=TEMPLATE, namespaces=(self.namespace,))
        for luck in self.lucks:
            api = Api(luck.client, Metrics(), Bucket(rate=1e6, burst=1e6))
            tools = Tools(api, Cache(), settings, guard=lambda: None)
            host = Host(tools, Metrics(), Health(clock=self._loop.time), self._now)
            await host.start()
            self._hosts.append((host, luck.news))
        await self._over.wait()
        for host, _ in self._hosts:
            await host.stop()

    def _now(self) -> datetime:
        return (self._began + timedelta(seconds=self._loop.time())).replace(microsecond=0)

    def _idle(self) -> bool:
        """The operator waits: the cluster goes on until there is news for it. False: the cluster is at rest too."""
        while not self._told():
            if not self._goes_on() and not self._user_acts():
                return self._at_rest()
        return True

    def _goes_on(self) -> bool:
        """A turn of the node, or of the controllers of Kubernetes. False: there is nothing that they have to do."""
        if self.node.turn(self.view.all(POD)):
            self._moved_at = time.monotonic()
            return True
        if self._controllers_move():
            assert time.monotonic() < self._moved_at + REST_SECONDS, f"{self.namespace} never comes to rest"
            time.sleep(0.005)
            return True
        self._moved_at = time.monotonic()
        return False

    def _told(self) -> bool:
        told = False
        while not self.feed.empty():
            news = self.feed.get()
            self.view.take(*news)
            self._moved_at = time.monotonic()
            for host, way in self._hosts:
                for arrived in way.pass_on(news):
                    host.on_event(*arrived)
                    told = True
        return told

    def _controllers_move(self) -> bool:
        answers = [answer for luck in self.lucks for answer in luck.client.take_answers()]
        self._owed = [answer for answer in (*self._owed, *answers) if not self.view.shows(answer)]
        return bool(self._owed) or self.view.moves(self.script)

    def _user_acts(self) -> bool:
        if not self.acts or not self.acts[0].when(self.view):
            return False
        act = self.acts.pop(0)
        self._owed.append(self.api.patch(act.kind, self.namespace, act.name, {"spec": act.spec}))
        return True

    def _at_rest(self) -> bool:
        now = self._loop.time()
        assert now < LIFE_SECONDS, f"{self.namespace} never ends"
        if not self.acts and self.done(self.view):
            self._ends_at = self._ends_at or now + AFTERWARDS_SECONDS
            if now >= self._ends_at:
                self._over.set()
                return True
        return False
