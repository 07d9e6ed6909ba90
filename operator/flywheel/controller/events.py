"""Kubernetes events of our resources: one object for the same words about the same object, with a count.

An event that cannot be written is logged and let go: it is news, not state.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from typing import Any

from flywheel.api.conditions import Event
from flywheel.controller.client import Api, ApiError
from flywheel.controller.fields import text
from flywheel.controller.jobs import Owner
from flywheel.controller.resources import EVENT

log = logging.getLogger(__name__)
CONTROLLER = "flywheel.dev/operator"
_NOTE_MAX = 1000
_NAME_MAX = 200
Object = dict[str, Any]


def record(api: Api, owner: Owner, event: Event, now: datetime, instance: str) -> None:
    """Write an event, or count it up when it was written before."""
    name = event_name(owner, event)
    try:
        try:
            api.create(EVENT, owner.namespace, manifest(name, owner, event, now, instance))
        except ApiError as error:
            if not error.already_exists:
                raise
            _count_up(api, owner.namespace, name, now)
    except ApiError as error:
        log.warning("event %s of %s %s was not written: %s", event.reason, owner.kind, owner.name, error)


def event_name(owner: Owner, event: Event) -> str:
    """The same words about the same object have the same name."""
    words = f"{owner.uid}/{event.type}/{event.reason}/{event.message}"
    return f"{owner.name[:_NAME_MAX].rstrip('-.')}.{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def manifest(name: str, owner: Owner, event: Event, now: datetime, instance: str) -> Object:
    """An events.k8s.io/v1 Event."""
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": name, "namespace": owner.namespace},
        "eventTime": micro_time(now),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "action": "Reconcile",
        "reason": event.reason.value,
        "type": event.type,
        "note": _cut(event.message),
        "regarding": {
            "apiVersion": owner.api_version,
            "kind": owner.kind,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
        },
    }


def _count_up(api: Api, namespace: str, name: str, now: datetime) -> None:
    known = api.get(EVENT, namespace, name)
    if known is None:
        return
    count = int(text(known, "series", "count") or 1) + 1
    api.patch(EVENT, namespace, name, {"series": {"count": count, "lastObservedTime": micro_time(now)}})


def micro_time(moment: datetime) -> str:
    """metav1.MicroTime."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cut(text: str) -> str:
    """At most 1 KiB in UTF-8, as the API server allows."""
    data = text.encode()
    return text if len(data) <= _NOTE_MAX else data[:_NOTE_MAX].decode(errors="ignore") + " ..."
