"""Who leads: one Lease, kept as Kubernetes' own controllers keep theirs. Must not know what a leader does.

Another's hold is judged by when we saw it change, on our own monotonic clock: no other computer's clock is trusted.
Ours counts from before the renewal was sent, so that it is over here before anybody else may take it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from flywheel.controller.client import Api, ApiError
from flywheel.controller.fields import mapping, text
from flywheel.controller.resources import LEASE

log = logging.getLogger(__name__)
NAME = "flywheel-operator"
LEASE_SECONDS = 15
RENEW_SECONDS = 10.0  # a leader that could not renew for so long is none any more
RETRY_SECONDS = 2.0
# Connect and read: a request that is begun just before the renewal is overdue ends before the Lease does.
REQUEST_SECONDS = (2.0, 3.0)
Decision = Literal["acquire", "renew", "wait", "lost"]


class NotLeadingError(Exception):
    """The Lease is lost or nearly over: nothing may be written any more."""


@dataclass(frozen=True)
class View:
    """What one replica knows of the Lease; times are of its own monotonic clock. No holder: it is free."""

    holder: str = ""
    version: str = ""
    seconds: float = LEASE_SECONDS  # as its holder wrote it
    seen_at: float = 0.0  # when this version was first seen
    renewed_at: float | None = None  # when our last accepted write was sent; None: we do not lead


def decide(me: str, view: View, now: float) -> Decision:
    """What a replica of this identity has to do."""
    if view.renewed_at is not None:
        return "renew" if view.holder == me and now - view.renewed_at < RENEW_SECONDS else "lost"
    # Ours without knowing it: the answer to our own write was lost.
    free = view.holder in ("", me) or now - view.seen_at >= view.seconds
    return "acquire" if free else "wait"


class Lease:
    """The Lease of this name as one replica sees and writes it. One thread takes turns; any may check."""

    def __init__(self, api: Api, namespace: str, me: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._namespace, self.me, self._clock = api, namespace, me, clock
        self._view = View()
        self._object: dict[str, Any] | None = None
        self._certain = False  # the last thing that we know of it is our own write
        self._trouble = ""

    @property
    def decision(self) -> Decision:
        """What follows from what is known now."""
        return decide(self.me, self._view, self._clock())

    def check(self) -> None:
        """Before anything is written, here or to a serving pod: raises NotLeadingError where we do not safely lead."""
        if self.decision != "renew":
            raise NotLeadingError(
                f"Lease {self._namespace}/{NAME} is not held safely by {self.me}: nothing is written, another replica"
                " leads or will"
            )

    def turn(self) -> bool:
        """Read, acquire or renew it, whatever is due; whether that went well."""
        try:
            if not self._certain:
                self._read()
            if self.decision in ("acquire", "renew"):
                self._hold()
        except ApiError as error:
            # A write without an answer may have taken effect.
            self._certain = False
            self._warn(str(error))
            return False
        self._warn("")
        return True

    def release(self) -> None:
        """Give it up, so that the next replica need not wait until it ends; from here on nothing may be written."""
        leading, self._view = self.decision == "renew", replace(self._view, renewed_at=None)
        if not leading:
            return
        try:
            self._write({"holderIdentity": ""})
        except ApiError as error:
            log.warning("Lease %s/%s was not released, others wait until it ends: %s", self._namespace, NAME, error)

    def _read(self) -> None:
        found = self._api.get(LEASE, self._namespace, NAME)
        version, spec = text(found or {}, "metadata", "resourceVersion"), mapping(found or {}, "spec")
        self._object = found
        self._view = View(
            holder=text(spec, "holderIdentity"),
            version=version,
            seconds=float(spec.get("leaseDurationSeconds") or LEASE_SECONDS),
            seen_at=self._view.seen_at if version == self._view.version else self._clock(),
            renewed_at=self._view.renewed_at,
        )

    def _hold(self) -> None:
        sent, now = self._clock(), datetime.now(UTC).isoformat(timespec="microseconds")
        spec: dict[str, Any] = {"holderIdentity": self.me, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        if self._view.holder != self.me:
            before = mapping(self._object or {}, "spec").get("leaseTransitions")
            spec |= {"acquireTime": now, "leaseTransitions": 0 if before is None else int(before) + 1}
        version = self._write(spec)
        self._view = View(self.me, version, LEASE_SECONDS, seen_at=sent, renewed_at=sent)
        self._certain = True

    def _write(self, spec: dict[str, Any]) -> str:
        """Set these fields; refused when anybody wrote since we read it. Its new version."""
        if self._object is None:
            metadata = {"name": NAME, "namespace": self._namespace}
            body = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
            self._object = self._api.create(LEASE, self._namespace, body)
        else:
            body = {**self._object, "spec": {**mapping(self._object, "spec"), **spec}}
            self._object = self._api.update(LEASE, self._namespace, NAME, body)
        return text(self._object, "metadata", "resourceVersion")

    def _warn(self, trouble: str) -> None:
        """Say it once, not at every turn."""
        if trouble and trouble != self._trouble:
            log.warning("Lease %s/%s: %s", self._namespace, NAME, trouble)
        self._trouble = trouble
