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
            threading.Thread(target=self._read, args=(kind, version), name=f"watch-{kind.plural}", daemon=True).start()

    def feed(self, namespace: str) -> queue.SimpleQueue[News]:
        """The namespace's news from now on, in the order of each kind."""
        return self._feeds.setdefault(namespace, queue.SimpleQueue())

    def _read(self, kind: Resource, version: int) -> None:
        query = {"watch": "1", "resourceVersion": str(version)}
        request = self._client.param_serialize(
            "GET", kind.path(None), query_params=list(query.items()), auth_settings=["BearerToken"]
        )
        method, url, headers = request[:3]
        pool = self._client.rest_client.pool_manager
        stream = pool.request(method, url, headers=headers, preload_content=False, timeout=None)
        with suppress(urllib3.exceptions.HTTPError):  # the API server has gone
            for line in stream:
                event = json.loads(line)
                feed = self._feeds.get(event["object"]["metadata"].get("namespace", ""))
                if feed is not None:
                    feed.put((kind, event))
