"""A thin client of the API server: plain objects in and out, gentle, counted. Calls block; they run in worker threads.

Of Secrets it reads one by its name, where somebody granted that. Texts of the API server stay in ApiError for the log;
they never go into a status.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import urllib3
import urllib3.exceptions

from flywheel.controller.deadlines import Deadlines
from flywheel.controller.labels import FIELD_MANAGER
from flywheel.controller.metrics import Metrics
from flywheel.controller.resources import Resource

Object = dict[str, Any]
_PAGE = 500
_CONNECT_READ_SECONDS = (5.0, 20.0)
_MOST_RETRIES = 2
_QPS, _BURST = 20.0, 40.0


class ApiError(Exception):
    """The API server refused a request, or could not be reached (status 0)."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(f"HTTP {status} {reason}: {text}" if status else f"{reason}: {text}")
        self.status = status
        self.reason = reason

    @property
    def not_found(self) -> bool:
        """Whether the object is gone."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Whether the object changed in between."""
        return self.status == 409 and self.reason == "Conflict"

    @property
    def already_exists(self) -> bool:
        """Whether an object of that name is there."""
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def refused(self) -> bool:
        """Whether the same request would be refused again: its content is not allowed.

        An owner of a kind that the API server has no mapping for is none: for half a minute it knows no new CRD.
        """
        return self.status in (400, 403, 413, 422) and "cannot find RESTMapping" not in str(self)


class Bucket:
    """Lets so many requests a second pass, and a burst; the others wait."""

    def __init__(
        self,
        rate: float = _QPS,
        burst: float = _BURST,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._burst, self._clock, self._sleep = rate, burst, clock, sleep
        self._tokens, self._at, self._lock = burst, clock(), threading.Lock()

    def take(self) -> None:
        """Wait for a turn."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            wait = -self._tokens / self._rate
        if wait > 0:
            self._sleep(wait)


class Api:
    """Requests about one kind of object at a time. `guard` is called before every write, and may raise."""

    def __init__(
        self,
        client: Any,
        metrics: Metrics,
        bucket: Bucket | None = None,
        timeout: tuple[float, float] = _CONNECT_READ_SECONDS,
        guard: Callable[[], None] = lambda: None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._client, self._metrics, self._bucket = client, metrics, bucket or Bucket()
        self._timeout, self._guard = timeout, guard
        self.deadlines = deadlines or Deadlines()
        # Every try may connect slowly and be answered slowly, and then the answer may come slowly.
        self._longest = (_MOST_RETRIES + 1) * sum(timeout) + timeout[1]

    def pages(self, kind: Resource, namespace: str | None, selector: str = "") -> Iterator[tuple[list[Object], int]]:
        """All objects, a page at a time, each with the version of the listing: a page is large, all are very large."""
        token = ""
        while True:
            query = {"limit": str(_PAGE), "labelSelector": selector, "continue": token}
            page = self._json("list", "GET", kind, kind.path(namespace), query)
            # Items of a list say nothing of their kind.
            own = {"apiVersion": kind.api_version, "kind": kind.kind}
            items = cast("list[Object]", page.get("items") or [])
            yield [{**own, **entry} for entry in items], int(page["metadata"]["resourceVersion"])
            token = page["metadata"].get("continue") or ""
            if not token:
                return

    def list(self, kind: Resource, namespace: str | None, selector: str = "") -> tuple[list[Object], int]:
        """All objects at once, and the version of the listing."""
        found: list[Object] = []
        version = 0
        for items, listed_at in self.pages(kind, namespace, selector):
            found += items
            version = listed_at
        return found, version

    def get(self, kind: Resource, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        try:
            return self._json("get", "GET", kind, kind.path(namespace, name))
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def create(self, kind: Resource, namespace: str, body: Object) -> Object:
        """Create it; a field that the API server does not know is an error, not dropped."""
        query = {"fieldValidation": "Strict", "fieldManager": FIELD_MANAGER}
        return self._json("create", "POST", kind, kind.path(namespace), query, body)

    def update(self, kind: Resource, namespace: str, name: str, body: Object) -> Object:
        """Replace it; the resourceVersion in the body makes a stale writer fail."""
        query = {"fieldValidation": "Strict", "fieldManager": FIELD_MANAGER}
        return self._json("update", "PUT", kind, kind.path(namespace, name), query, body)

    def delete(self, kind: Resource, namespace: str, name: str, uid: str) -> Object:
        """Delete it and what it owns, which goes first; only the object of that uid."""
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        return self._json("delete", "DELETE", kind, kind.path(namespace, name), None, body)

    def update_status(self, kind: Resource, namespace: str, name: str, body: Object) -> Object:
        """Replace the status, whoever wrote into it. A resourceVersion in the body makes a stale writer fail."""
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        return self._json("update", "PUT", kind, kind.path(namespace, name) + "/status", query, body)

    def patch(self, kind: Resource, namespace: str, name: str, body: Object) -> Object:
        """Merge patch."""
        query = {"fieldManager": FIELD_MANAGER}
        return self._json(
            "patch", "PATCH", kind, kind.path(namespace, name), query, body, "application/merge-patch+json"
        )

    def apply(self, kind: Resource, namespace: str, name: str, body: Object) -> Object:
        """Server-side apply: create it, or have these fields as we say, whoever else wrote them."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        path, content = kind.path(namespace, name), "application/apply-patch+yaml"
        return self._json("patch", "PATCH", kind, path, query, body, content)

    def log_tail(self, kind: Resource, namespace: str, name: str, container: str, lines: int) -> str:
        """The newest lines of a container's log."""
        path = kind.path(namespace, name) + "/log"
        return self._text("log", "GET", kind, path, {"container": container, "tailLines": str(lines)})

    def _json(self, verb: str, method: str, kind: Resource, path: str, *rest: Any) -> Object:
        return cast(Object, json.loads(self._text(verb, method, kind, path, *rest)))

    def _text(
        self,
        verb: str,
        method: str,
        kind: Resource,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> str:
        self._bucket.take()
        headers = {"Accept": "application/json, */*"} | ({"Content-Type": content_type} if body is not None else {})
        request = self._client.param_serialize(
            method,
            path,
            query_params=[(name, value) for name, value in (query or {}).items() if value],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        if method != "GET":
            self._guard()
        try:
            with self.deadlines.within(f"{verb} {kind.plural}", self._longest):
                response = self._client.call_api(*request, _request_timeout=self._timeout)
                data = cast(bytes, response.read()) or b""
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._metrics.api_request(method, 0)
            raise ApiError(0, "Unreachable", type(error).__name__) from error
        self._metrics.api_request(method, int(response.status))
        if response.status >= 400:
            raise _refusal(int(response.status), data)
        return data.decode(errors="replace")


def _refusal(status: int, data: bytes) -> ApiError:
    try:
        said = json.loads(data)
    except ValueError:
        return ApiError(status, "Unknown", data[:200].decode(errors="replace"))
    return ApiError(status, str(said.get("reason") or "Unknown"), str(said.get("message") or "")[:2000])


def connect(retries: int = _MOST_RETRIES) -> Any:
    """The official client, from the pod's service account or else KUBECONFIG. Imported late: it is large."""
    from kubernetes import client, config  # pyright: ignore[reportMissingTypeStubs]

    try:
        cast(Any, config).load_incluster_config()
    except config.ConfigException:
        cast(Any, config).load_kube_config()
    settings = client.Configuration.get_default_copy()
    settings.connection_pool_maxsize = 32
    # A kept connection may have been closed meanwhile; whatever else fails, the work queue repeats.
    settings.retries = urllib3.Retry(total=retries, redirect=0, status=0, allowed_methods={"GET"})
    return client.ApiClient(settings)
