"""The operator without kopf: cache, queues, reconcilers, listings and heartbeat. Events are brought by its owner."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from flywheel.controller.apply import StaleError, Tools
from flywheel.controller.cache import Entry, readable
from flywheel.controller.client import ApiError
from flywheel.controller.fields import text
from flywheel.controller.health import Health
from flywheel.controller.labels import OWNER_UID
from flywheel.controller.metrics import Metrics
from flywheel.controller.progress import ProgressReader
from flywheel.controller.reconcile_curriculum import reconcile_curriculum
from flywheel.controller.reconcile_deployment import Failures, reconcile_deployment
from flywheel.controller.reconcile_run import reconcile_run
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT, JOB, OWNERS, POD, RUN, WATCHED, Resource
from flywheel.controller.shown import Shown
from flywheel.controller.watches import Watches
from flywheel.controller.workqueue import Workqueue

log = logging.getLogger(__name__)
Key = tuple[str, str]
WORKERS: dict[str, int] = {RUN.kind: 6, CURRICULUM.kind: 2, DEPLOYMENT.kind: 4}
# Between its calls, which have deadlines of their own, a reconcile takes milliseconds; a starved node is allowed for.
RECONCILE_SECONDS = 60.0
FIRST_LISTING_AGAIN_SECONDS = 5.0
# A watch that owes news is asked about soon: listed after 60 s, again after 80 and 100, it is known within 120.
SOON_SECONDS = 20.0
BEAT_SECONDS = 1.0
STALE_AGAIN_SECONDS = 0.1


def utc_now() -> datetime:
    """The clock, without what no field shows."""
    return datetime.now(UTC).replace(microsecond=0)


class Host:
    """Made and used inside one event loop."""

    def __init__(self, tools: Tools, metrics: Metrics, health: Health, now: Callable[[], datetime] = utc_now) -> None:
        self.tools, self.metrics, self.health, self._now = tools, metrics, health, now
        self._progress, self._failures = ProgressReader(tools.api), Failures()
        self._watches, self._shown = Watches(health.clock), Shown(tools.cache, metrics)
        # Serving calls may take minutes: they must not keep runs waiting, so each kind has threads of its own.
        self._pools = {kind: ThreadPoolExecutor(count, f"reconcile-{kind}") for kind, count in WORKERS.items()}
        self._listing = ThreadPoolExecutor(1, "listing")
        self._queues = {
            kind: Workqueue[Key](kind, self._worker(kind), metrics, workers=count) for kind, count in WORKERS.items()
        }
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """List everything first: a worker that does not see a Job would create it again."""
        self._tasks = [asyncio.create_task(self._beat())]
        while not self.health.synced:
            try:
                await self._list_all()
                self.health.synced = True
            except ApiError as error:
                advice = "; are the CRDs in crds/ applied?" if error.not_found else ""
                log.warning("the first listing failed: %s%s", error, advice)
                await asyncio.sleep(FIRST_LISTING_AGAIN_SECONDS)
        for queue in self._queues.values():
            queue.start()
        self._tasks.append(asyncio.create_task(self._audit()))

    async def stop(self) -> None:
        """Stop the workers; requests under way end by themselves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for queue in self._queues.values():
            await queue.stop()
        for pool in (*self._pools.values(), self._listing):
            pool.shutdown(wait=False, cancel_futures=True)

    def on_event(self, kind: Resource, event: Mapping[str, Any]) -> None:
        """News from a watch: microseconds, no requests."""
        item = event["object"]
        watch = self._watch(kind, item["metadata"]["namespace"])
        self._watches.saw(watch, int(item["metadata"]["resourceVersion"]))
        entry = self._take(kind, item, deleted=event["type"] == "DELETED")
        if entry is not None:
            self._wake(kind, entry)

    def _watch(self, kind: Resource, namespace: str | None) -> str:
        """Name of the watch that brings news of such objects."""
        return f"{kind.kind} in {namespace}" if self.tools.settings.namespaces else kind.kind

    def _take(self, kind: Resource, item: Mapping[str, Any], deleted: bool) -> Entry | None:
        try:
            if deleted:
                return self.tools.cache.remove(kind, item["metadata"]["uid"])
            # Our own writes are in the cache before their news comes: that still matters to others.
            return self.tools.cache.update(kind, item) or self.tools.cache.current(item)
        except ValueError as error:  # somebody else's object with our label
            log.warning("%s %s is ignored: %s", kind.kind, item["metadata"]["name"], error)
            return None

    def _wake(self, kind: Resource, entry: Entry) -> None:
        """Everything that an object's news may matter to."""
        key = (entry.namespace, entry.name)
        if kind in (JOB, POD):
            owner = self.tools.cache.by_uid(entry.owner_uid)
            if owner is not None and owner.kind in self._queues:
                self._queues[owner.kind].add((owner.namespace, owner.name))
            return
        self._queues[kind.kind].add(key)
        if kind == RUN:
            deployment = text(entry.value, "spec", "deploymentRef", "name")
            if deployment:
                self._queues[DEPLOYMENT.kind].add((entry.namespace, deployment))
        if kind == CURRICULUM:
            for run in self.tools.cache.all(RUN, entry.namespace):
                if text(run.value, "spec", "curriculumRef", "name") == entry.name:
                    self._queues[RUN.kind].add((run.namespace, run.name))

    def _worker(self, kind: str) -> Callable[[Key], Any]:
        async def work(key: Key) -> float | None:
            loop = asyncio.get_running_loop()
            began, result = time.monotonic(), "error"
            try:
                again = await loop.run_in_executor(self._pools[kind], self._reconcile, kind, *key)
                result = "requeue_after" if again is not None else "success"
            except StaleError:
                result, again = "requeue", STALE_AGAIN_SECONDS
            finally:
                self.metrics.reconciled(kind, result, time.monotonic() - began)
            return again

        return work

    def _reconcile(self, kind: str, namespace: str, name: str) -> float | None:
        with self.health.deadlines.within(f"{kind} {namespace}/{name}", RECONCILE_SECONDS):
            try:
                return self._look(kind, namespace, name)
            finally:
                self._shown.look(kind, namespace, name)

    def _look(self, kind: str, namespace: str, name: str) -> float | None:
        now = self._now()
        if kind == CURRICULUM.kind:
            return reconcile_curriculum(self.tools, namespace, name, now)
        if kind == RUN.kind:
            return reconcile_run(self.tools, self._progress, namespace, name, now)
        return reconcile_deployment(self.tools, self._failures, namespace, name, now)

    async def _list_all(self) -> None:
        for kind in WATCHED:
            for namespace in self.tools.settings.namespaces or (None,):
                newest = await self._list(kind, namespace)
                self._watches.listed(self._watch(kind, namespace), newest)
        self.health.api_answered_at = self.health.clock()

    async def _list(self, kind: Resource, namespace: str | None) -> int:
        loop = asyncio.get_running_loop()
        listed, newest, version = await loop.run_in_executor(self._listing, self._entries, kind, namespace)
        changed = self.tools.cache.replace(kind, listed, version, namespace)
        self.metrics.listings.labels(kind.kind).inc()
        if self.health.synced and changed:
            self.metrics.audit_drift.labels(kind.kind).inc(len(changed))
        for entry in changed:
            self._wake(kind, entry)
        return newest

    def _entries(self, kind: Resource, namespace: str | None) -> tuple[list[Entry], int, int]:
        """What there is, its newest version, and the listing's; of each page only the projections outlive it."""
        selector = "" if kind in OWNERS else OWNER_UID
        listed: list[Entry] = []
        newest = version = 0
        for items, listed_at in self.tools.api.pages(kind, namespace, selector):
            version = listed_at
            newest = max([newest, *(int(item["metadata"]["resourceVersion"]) for item in items)])
            listed += readable(kind, items)
        return listed, newest, version

    async def _audit(self) -> None:
        """Listings find what watches lost, and watches that are silent."""
        answered = True
        while True:
            await self._until_next_listing(answered)
            try:
                await self._list_all()
                answered = True
            except ApiError as error:
                log.warning("listing failed: %s", error)
                self._watches.unanswered()
                answered = False

    async def _until_next_listing(self, answered: bool) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self.tools.settings.audit_seconds
        while loop.time() < due:
            await asyncio.sleep(min(SOON_SECONDS, due - loop.time()))
            if self._watches.owing or not answered:
                return

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            self.metrics.loop_lag.set(max(0.0, loop.time() - due))
            now = self.health.clock()
            dead = sum(queue.dead_workers() for queue in self._queues.values())
            self.health.dead_workers = dead + sum(task.done() for task in self._tasks)
            self.health.silent_watches = self._watches.silent()
            for watch, age in self._watches.ages().items():
                self.metrics.watch_age.labels(watch).set(age)
                self.metrics.watch_silent.labels(watch).set(watch in self.health.silent_watches)
            self.health.beat_at = now
