"""The operator's process: stands by until it leads, then kopf brings the events. `python -m flywheel.controller.main`.

kopf is event source only: no change handlers, annotations, finalizers or daemons (their retries lose work).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

import kopf

from flywheel.controller.apply import Tools
from flywheel.controller.cache import Cache
from flywheel.controller.client import Api, connect
from flywheel.controller.election import Election
from flywheel.controller.health import Health, serve
from flywheel.controller.host import Host, utc_now
from flywheel.controller.labels import OWNER_UID
from flywheel.controller.lease import REQUEST_SECONDS, Lease
from flywheel.controller.logs import configure
from flywheel.controller.metrics import Metrics
from flywheel.controller.resources import OWNERS, WATCHED, Resource
from flywheel.controller.settings import BadSettingsError, Settings, read_settings

_DEEPEST = 25_000  # managedFields are a little deeper than what they are about
log = logging.getLogger("flywheel.controller.main")  # __name__ is __main__ here


class _ForEver:
    """Back-offs without an end: an API server that is away makes us not ready, never not alive."""

    def __iter__(self) -> Iterator[float]:
        yield from (1.0, 2.0, 5.0)
        while True:
            yield 10.0


def kopf_settings() -> Any:
    """kopf writes nothing and watches only what is ours."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.inactivity_timeout = 70
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    for kind in WATCHED:
        if kind not in OWNERS:
            settings.watching.label_selectors[_selector(kind)] = OWNER_UID
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _ForEver()
    settings.queueing.exit_timeout = 2
    # Each object has a task that holds it until it is idle for so long: ten thousand of them after a listing.
    settings.queueing.idle_timeout = 0.1
    settings.process.ultimate_exiting_timeout = 20
    settings.execution.max_workers = 2
    settings.persistence.finalizer = "flywheel.dev/unused"
    return settings


def _selector(kind: Resource) -> Any:
    return (kind.group, kind.version, kind.plural) if kind.group else (kind.version, kind.plural)


def _connection(client: Any) -> Any:
    """kopf connects as our own client does."""
    known = client.configuration
    header = known.get_api_key_with_prefix("BearerToken") or known.get_api_key_with_prefix("authorization") or ""
    scheme, _, token = header.partition(" ") if " " in header else ("", "", header)
    return kopf.ConnectionInfo(
        server=known.host,
        ca_path=known.ssl_ca_cert,
        insecure=not known.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=known.cert_file,
        private_key_path=known.key_file,
    )


def registry_for(host: Host, client: Any) -> Any:
    """One event handler a kind; each only hands the event on."""
    registry = kopf.OperatorRegistry()

    def watch(kind: Resource) -> None:
        labels = {} if kind in OWNERS else {OWNER_UID: kopf.PRESENT}

        @kopf.on.event(*_selector(kind), labels=labels, registry=registry, id=kind.plural)
        async def handle(event: Any, **_: Any) -> None:
            host.on_event(kind, event)

    for kind in WATCHED:
        watch(kind)

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> Any:
        return _connection(client)

    return registry


def read_deep_objects() -> None:
    """One object must not keep us from reading all others: the API server takes JSON 10 000 levels deep, Python 1000.

    The objects' own fields say how deep they may be. 10 000 levels fit well into a thread's stack of 8 MiB.
    """
    sys.setrecursionlimit(_DEEPEST)


async def operate(
    settings: Settings,
    client: Any,
    health: Health,
    metrics: Metrics,
    guard: Callable[[], None] = lambda: None,
    stop: asyncio.Event | None = None,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Run until stopped. `guard` raises where we do not lead."""
    read_deep_objects()
    api = Api(client, metrics, guard=guard, deadlines=health.deadlines)
    host = Host(Tools(api, Cache(), settings, guard), metrics, health, now)
    try:
        await host.start()
        log.info("started")
        await kopf.operator(
            registry=registry_for(host, client),
            settings=kopf_settings(),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop,
        )
    finally:
        await host.stop()


async def lead(settings: Settings, health: Health, metrics: Metrics) -> None:
    """Stand by until the Lease is ours, then operate; stopped, hand it over."""
    loop, won = asyncio.get_running_loop(), asyncio.Event()
    task = cast("asyncio.Task[None]", asyncio.current_task())
    loop.add_signal_handler(signal.SIGTERM, task.cancel)  # kopf puts its own in place once it runs
    # The Lease has connections and a rate of its own: it never waits behind other requests, and none is repeated.
    api = Api(connect(retries=0), metrics, timeout=REQUEST_SECONDS, deadlines=health.deadlines)
    # A container that starts again in the same pod is another replica.
    lease = Lease(api, settings.pod_namespace, f"{settings.pod}_{uuid4().hex[:8]}")
    election = Election(lease, health, metrics, won=lambda: loop.call_soon_threadsafe(won.set), lost=_leave)
    election.start()
    try:
        await won.wait()
        await operate(settings, connect(), health, metrics, lease.check)
    finally:
        election.end()


def _leave() -> None:
    """Nothing is cleaned up: whatever still runs here has no right to write."""
    os._exit(1)


def main() -> None:
    """Start, and stay until told to go."""
    configure()
    try:
        settings = read_settings()
    except BadSettingsError as error:
        sys.exit(str(error))
    health, metrics = Health(), Metrics()
    serve(settings.port, health, metrics)
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(lead(settings, health, metrics))


if __name__ == "__main__":
    main()
