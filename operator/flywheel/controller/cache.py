"""Our own picture of the cluster: projections of objects, told by watches, listings and our own writes.

Older news of an object never overwrites newer, and news of a deleted object never brings it back. Thread-safe.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from flywheel.controller.fields import text
from flywheel.controller.labels import OWNER_UID
from flywheel.controller.observe_jobs import JobRecord, PodRecord, gone, job_record, pod_record
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT, JOB, POD, RUN, Resource

Object = Mapping[str, Any]
_GRAVES_MAX = 20_000


@dataclass(frozen=True)
class Entry:
    """One object: identity, version, and its projection."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: int
    owner_uid: str
    value: Any


def _whole(item: Object) -> dict[str, Any]:
    """A custom resource is kept whole, without the field managers' book-keeping."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return {**item, "metadata": metadata}


_PROJECTIONS: dict[str, Callable[[Object], Any]] = {
    CURRICULUM.kind: _whole,
    RUN.kind: _whole,
    DEPLOYMENT.kind: _whole,
    JOB.kind: job_record,
    POD.kind: pod_record,
}


def _entry(kind: Resource, item: Object) -> Entry:
    metadata = item["metadata"]
    return Entry(
        kind=kind.kind,
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        owner_uid=text(metadata, "labels", OWNER_UID),
        value=_PROJECTIONS[kind.kind](item),
    )


def readable(kind: Resource, items: Iterable[Object]) -> Iterator[Entry]:
    """Somebody else's object may carry our label: one such must not cost the listing. Its watch event is logged."""
    for item in items:
        with suppress(ValueError):
            yield _entry(kind, item)


class Cache:
    """Objects by uid, with the indexes that reconciles need."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self._names: dict[tuple[str, str, str], str] = {}
        self._owned: dict[tuple[str, str], set[str]] = {}
        self._graves: OrderedDict[str, None] = OrderedDict()

    def update(self, kind: Resource, item: Object) -> Entry | None:
        """Take in news of an object; the entry when it changed something, else None."""
        return self._take(_entry(kind, item))

    def _take(self, entry: Entry) -> Entry | None:
        with self._lock:
            known = self._entries.get(entry.uid)
            if entry.uid in self._graves or (known is not None and known.version >= entry.version):
                return None
            self._put(entry)
            return entry

    def current(self, item: Object) -> Entry | None:
        """The entry that the cache has in exactly this version, or None."""
        metadata = item["metadata"]
        known = self.by_uid(metadata["uid"])
        return known if known is not None and known.version == int(metadata["resourceVersion"]) else None

    def remove(self, kind: Resource, uid: str) -> Entry | None:
        """An object is gone; the entry that was there, or None."""
        with self._lock:
            return self._remove(kind.kind, uid)

    def replace(self, kind: Resource, listed: Sequence[Entry], version: int, namespace: str | None) -> list[Entry]:
        """Take a listing as the truth: what it changed, with lost deletions among it."""
        with self._lock:
            changed = [taken for entry in listed if (taken := self._take(entry)) is not None]
            there = {entry.uid for entry in listed}
            lost = [
                entry
                for entry in self._entries.values()
                if entry.kind == kind.kind
                and entry.uid not in there
                and namespace in (None, entry.namespace)
                and entry.version <= version  # else it was made after the listing
                and not self._kept(entry)
            ]
            for entry in lost:
                self._remove(kind.kind, entry.uid)
            return changed + lost

    def get(self, kind: Resource, namespace: str, name: str) -> Entry | None:
        """The object of that name."""
        with self._lock:
            uid = self._names.get((kind.kind, namespace, name))
            return self._entries.get(uid) if uid is not None else None

    def by_uid(self, uid: str) -> Entry | None:
        """The object of that uid."""
        with self._lock:
            return self._entries.get(uid)

    def all(self, kind: Resource, namespace: str | None = None) -> list[Entry]:
        """All objects of a kind, perhaps of one namespace."""
        with self._lock:
            return [
                entry
                for entry in self._entries.values()
                if entry.kind == kind.kind and namespace in (None, entry.namespace)
            ]

    def jobs_of(self, owner_uid: str) -> list[JobRecord]:
        """Jobs that the object controls."""
        return [record for record in self._owned_by(JOB, owner_uid) if record.controller_uid == owner_uid]

    def pods_of(self, owner_uid: str) -> list[PodRecord]:
        """Pods of the object's Jobs."""
        return self._owned_by(POD, owner_uid)

    def _owned_by(self, kind: Resource, owner_uid: str) -> list[Any]:
        with self._lock:
            return [self._entries[uid].value for uid in self._owned.get((kind.kind, owner_uid), ())]

    def _put(self, entry: Entry) -> None:
        known = self._entries.get(entry.uid)
        if known is not None and known.owner_uid != entry.owner_uid:
            self._drop(known)
        self._entries[entry.uid] = entry
        self._names[(entry.kind, entry.namespace, entry.name)] = entry.uid
        if entry.owner_uid:
            self._owned.setdefault((entry.kind, entry.owner_uid), set()).add(entry.uid)

    def _remove(self, kind: str, uid: str) -> Entry | None:
        self._bury(uid)
        entry = self._entries.get(uid)
        if entry is None:
            return None
        if kind == POD.kind and entry.value.job_uid in self._entries:
            # What a pod said is needed as long as its Job is there.
            kept = replace(entry, value=gone(entry.value))
            self._put(kept)
            return kept
        self._drop(entry)
        if kind == JOB.kind:
            for pod in [self._entries[pod] for pod in self._owned.get((POD.kind, entry.owner_uid), set())]:
                # One that still runs is waited for.
                if pod.value.job_uid == uid and pod.value.finished:
                    self._drop(pod)
        return entry

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.uid]
        key = (entry.kind, entry.namespace, entry.name)
        if self._names.get(key) == entry.uid:
            del self._names[key]
        owned = self._owned.get((entry.kind, entry.owner_uid))
        if owned is not None:
            owned.discard(entry.uid)
            if not owned:
                del self._owned[(entry.kind, entry.owner_uid)]

    def _bury(self, uid: str) -> None:
        self._graves[uid] = None
        while len(self._graves) > _GRAVES_MAX:
            self._graves.popitem(last=False)

    def _kept(self, entry: Entry) -> bool:
        """A deleted pod whose words are kept is not lost again with every listing."""
        value = entry.value
        gone = isinstance(value, PodRecord) and value.finished and value.view.disrupted
        return gone and value.job_uid in self._entries
