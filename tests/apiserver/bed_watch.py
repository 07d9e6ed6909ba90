"""Real watches, one a kind, of all namespaces; each namespace's news goes to whoever asked. In place of kopf."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from typing import Any

import urllib3.exceptions

from flywheel.controller.client import Api
from flywheel.controller.resources import WATCHED, Resource

Object = dict[str, Any]
News = tuple[Resource, Object]


class Watcher:
    """Threads that read the streams. `feed` must be asked for before the namespace has anything in it."""

    def __init__(self, client: Any, api: Api) -> None:
        self._client, self._api = client, api
        self._feeds: dict[str, queue.SimpleQueue[News]] = {}

    def start(self) -> None:
        """The threads end with the process or the API server."""
        for kind in WATCHED:
            _, version = self._api.list(kind, None)
            threading.Thread(
                target=self._read, args=(kind, str(version)), name=f"watch-{kind.plural}", daemon=True
            ).start()

    def feed(self, namespace: str) -> queue.SimpleQueue[News]:
        """The namespace's news from now on, in the order of each kind."""
        return self._feeds.setdefault(namespace, queue.SimpleQueue())

    def _read(self, kind: Resource, version: str) -> None:
        with suppress(urllib3.exceptions.MaxRetryError):  # the API server has gone
            while True:  # it ends streams now and then, such as those of a CRD that has just come
                with suppress(urllib3.exceptions.ProtocolError):
                    for line in self._stream(kind, version):
                        event = json.loads(line)
                        assert event["type"] != "ERROR", event
                        metadata = event["object"]["metadata"]
                        version = metadata["resourceVersion"]
                        feed = self._feeds.get(metadata.get("namespace", ""))
                        if feed is not None:
                            feed.put((kind, event))

    def _stream(self, kind: Resource, version: str) -> Any:
        query = [("watch", "1"), ("resourceVersion", version)]
        method, url, headers, *_ = self._client.param_serialize(
            "GET", kind.path(None), query_params=query, auth_settings=["BearerToken"]
        )
        pool = self._client.rest_client.pool_manager
        return pool.request(method, url, headers=headers, preload_content=False, timeout=None)
