"""The cluster of a kubeconfig, as commands ask it: our objects, pods of steps, logs. Errors as kubectl words them."""

from __future__ import annotations

import codecs
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import urllib3
import urllib3.exceptions
import yaml
from kubernetes import client, config  # pyright: ignore[reportMissingTypeStubs]
from kubernetes.client.exceptions import ApiException  # pyright: ignore[reportMissingTypeStubs]

from flywheel.cli.errors import CommandError
from flywheel.controller.labels import CONTAINER, OWNER_UID
from flywheel.controller.resources import Resource

Object = dict[str, Any]
FIELD_MANAGER = "kubectl-flywheel"
_NOT_FOUND, _UNAUTHORIZED = 404, 401
_SECONDS = (5.0, 20.0)  # to connect, to be answered


@dataclass(frozen=True)
class Cluster:
    """Requests in one namespace."""

    namespace: str
    _client: Any

    def get(self, kind: Resource, name: str) -> Object | None:
        """An object, or None."""
        with _told_as_kubectl(kind, self._client):
            try:
                return cast(
                    Object,
                    self._objects().get_namespaced_custom_object(
                        kind.group, kind.version, self.namespace, kind.plural, name, _request_timeout=_SECONDS
                    ),
                )
            except ApiException as error:
                if _status(error) == _NOT_FOUND and _said(error).get("details", {}).get("name"):
                    return None
                raise

    def list(self, kind: Resource) -> list[Object]:
        """All of a kind, the oldest first."""
        with _told_as_kubectl(kind, self._client):
            found = self._objects().list_namespaced_custom_object(
                kind.group, kind.version, self.namespace, kind.plural, _request_timeout=_SECONDS
            )
        own = {"apiVersion": kind.api_version, "kind": kind.kind}  # items of a list say nothing of it
        items = [{**own, **entry} for entry in cast("list[Object]", found["items"])]
        return sorted(items, key=lambda entry: entry["metadata"]["creationTimestamp"])

    def patch(self, kind: Resource, name: str, body: Object) -> None:
        """Merge patch."""
        with _told_as_kubectl(kind, self._client):
            self._objects().patch_namespaced_custom_object(
                kind.group,
                kind.version,
                self.namespace,
                kind.plural,
                name,
                body,
                field_manager=FIELD_MANAGER,
                field_validation="Strict",
                _content_type="application/merge-patch+json",
                _request_timeout=_SECONDS,
            )

    def pods(self, uid: str) -> list[Object]:
        """Pods of the steps of an object, as plain objects."""
        with _told_as_kubectl(None, self._client):
            found = self._core().list_namespaced_pod(
                self.namespace, label_selector=f"{OWNER_UID}={uid}", _request_timeout=_SECONDS
            )
        return [cast(Object, self._client.sanitize_for_serialization(pod)) for pod in found.items]

    def create_pod(self, body: Object) -> Object:
        """The pod as it was created."""
        with _told_as_kubectl(None, self._client):
            made = self._core().create_namespaced_pod(self.namespace, body, _request_timeout=_SECONDS)
        return cast(Object, self._client.sanitize_for_serialization(made))

    def create_config_map(self, body: Object) -> None:
        """A ConfigMap."""
        with _told_as_kubectl(None, self._client):
            self._core().create_namespaced_config_map(self.namespace, body, _request_timeout=_SECONDS)

    def pod(self, name: str) -> Object:
        """A pod, as a plain object."""
        with _told_as_kubectl(None, self._client):
            found = self._core().read_namespaced_pod(name, self.namespace, _request_timeout=_SECONDS)
        return cast(Object, self._client.sanitize_for_serialization(found))

    def delete_pod(self, name: str) -> None:
        """With what it owns."""
        with _told_as_kubectl(None, self._client):
            self._core().delete_namespaced_pod(name, self.namespace, _request_timeout=_SECONDS)

    def log_tail(self, pod: str, lines: int) -> str:
        """The newest lines of a step; empty where the pod is gone meanwhile, or has no log yet."""
        with _told_as_kubectl(None, self._client):
            try:
                return cast(
                    str,
                    self._core().read_namespaced_pod_log(
                        pod, self.namespace, container=CONTAINER, tail_lines=lines, _request_timeout=_SECONDS
                    ),
                )
            except ApiException as error:
                if _status(error) in (_NOT_FOUND, 400):  # 400: the container has not started
                    return ""
                raise

    def log(self, pod: str, *, follow: bool) -> Iterator[str]:
        """The whole log of a step, in pieces as they come."""
        with _told_as_kubectl(None, self._client):
            response = self._core().read_namespaced_pod_log(
                pod, self.namespace, container=CONTAINER, follow=follow, _preload_content=False
            )
            # A piece may end in the middle of a character.
            yield from codecs.iterdecode(cast("Iterator[bytes]", response.stream()), "utf-8", errors="replace")

    def _objects(self) -> Any:
        return cast(Any, client).CustomObjectsApi(self._client)

    def _core(self) -> Any:
        return cast(Any, client).CoreV1Api(self._client)


def connect(namespace: str | None, context: str | None, kubeconfig: Path | None) -> Cluster:
    """The cluster that kubectl would ask with these options."""
    files = str(kubeconfig) if kubeconfig is not None else None
    try:
        known, active = cast(Any, config).list_kube_config_contexts(config_file=files)
        if context is not None:
            active = next((entry for entry in known if entry["name"] == context), None)
            if active is None:
                raise CommandError(f'error: context "{context}" does not exist')
        settings = cast(Any, client).Configuration()
        cast(Any, config).load_kube_config(config_file=files, context=context, client_configuration=settings)
    except (config.ConfigException, OSError, yaml.YAMLError) as error:
        words = " ".join(str(error).split())
        raise CommandError(f"error: no usable kubeconfig: {words}; set KUBECONFIG or give --kubeconfig") from error
    settings.retries = urllib3.Retry(total=2, backoff_factor=0.2, redirect=0, status=0)
    return Cluster(namespace or active["context"].get("namespace") or "default", cast(Any, client).ApiClient(settings))


@contextmanager
def _told_as_kubectl(kind: Resource | None, api_client: Any) -> Generator[None]:
    """Whatever the request ends in, as one line."""
    server = api_client.configuration.host
    try:
        yield
    except ApiException as error:
        raise CommandError(_refusal(error, kind)) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        cause = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            words = f"The connection to the server {server} was refused - did you specify the right host or port?"
            raise CommandError(words) from error
        raise CommandError(f"Unable to connect to the server {server}: {' '.join(str(cause).split())}") from error


def _refusal(error: ApiException, kind: Resource | None) -> str:
    said, status = _said(error), _status(error)
    if status == _UNAUTHORIZED:
        return "error: You must be logged in to the server (Unauthorized)"
    if status == _NOT_FOUND and not said.get("details", {}).get("name") and kind is not None:
        return f'error: the server doesn\'t have a resource type "{kind.plural}": apply the CRDs of flywheel first'
    return f"Error from server ({said.get('reason') or status}): {said.get('message') or 'no reason was given'}"


def _said(error: ApiException) -> Object:
    try:
        said = json.loads(cast(Any, error).body or "{}")
    except ValueError:
        return {}
    return cast(Object, said) if isinstance(said, dict) else {}


def _status(error: ApiException) -> int:
    return int(cast(Any, error).status or 0)
