"""One folder of an S3 bucket: objects by their paths, and what is wrong with the bucket in words for people.

Only the sidecar imports this. Must not know what the objects mean.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from flywheel.api.conditions import Reason
from flywheel.api.workspace import S3
from flywheel.workspace.remote import RemoteError

if TYPE_CHECKING:
    from obstore import ListResult, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

log = logging.getLogger("flywheel.bucket")

# A request that fails is made again for so long; then the step is tried later.
_PATIENCE = timedelta(seconds=60)
_RETRIES = 8
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_STATUS = re.compile(r"status code: ([0-9]{3})")
_KEY_REFUSED = {
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "ExpiredToken",
    "InvalidToken", "AccountProblem", "XAdminUserNotFound",
}  # fmt: skip
_SECRET = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "HOSTS")
_AT_ONCE = 1000  # objects that one request may delete
_PARTS_AT_ONCE = 4  # of a large file, 5 MiB each: the sidecar is small
# The overloads that speak of Arrow have a type that is not installed.
_list = cast("Callable[[S3Store, str], Iterable[Sequence[ObjectMeta]]]", cast(Any, obstore).list)
_list_folder = cast("Callable[[S3Store, str], ListResult[Any]]", cast(Any, obstore).list_with_delimiter)


@dataclass(frozen=True)
class Access:
    """What the Secret, and the ConfigMap of the certificates, hold."""

    access_key_id: str
    secret_access_key: str
    hosts: tuple[str, ...]
    ca_bundle: bytes | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], name: str = "S3") -> Access:
        """As the sidecar's environment has it."""
        # Secrets made from a file end with a line break.
        key, secret, hosts = (environment.get(f"FLYWHEEL_{name}_{part}", "").strip() for part in _SECRET)
        named = tuple(host.strip().lower() for host in hosts.split(",") if host.strip())
        bundle = environment.get(f"FLYWHEEL_{name}_CA")
        return cls(key, secret, named, bundle.encode() if bundle else None)

    def __repr__(self) -> str:
        """No key in a log."""
        return f"Access(hosts={self.hosts})"


def _store(place: S3, access: Access, patience: timedelta, field: str) -> S3Store:
    """Raises RemoteError for an endpoint that the key is not meant for."""
    host = urlsplit(place.endpoint).hostname
    if not access.access_key_id or not access.secret_access_key or not access.hosts:
        words = f"the Secret of {field}.secretRef needs the keys accessKeyId, secretAccessKey and hosts"
        raise RemoteError(Reason.WORKSPACE_SECRET, words)
    if host not in access.hosts:
        words = f"host {host} of {field}.endpoint is not among the hosts of its Secret: add it there"
        raise RemoteError(Reason.WORKSPACE_SECRET, words)
    client: ClientConfig = {"allow_http": True, "connect_timeout": "10s", "read_timeout": "60s", "timeout": "6h"}
    if access.ca_bundle is not None:
        client["root_certificate"] = access.ca_bundle
    retries: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": patience}
    return S3Store(
        place.bucket,
        prefix=place.prefix,
        endpoint=place.endpoint,
        region=place.region,
        access_key_id=access.access_key_id,
        secret_access_key=access.secret_access_key,
        virtual_hosted_style_request=False,
        client_options=client,
        retry_config=retries,
    )


class Bucket:
    """Objects below a place's prefix. Every method raises RemoteError where the bucket cannot be used.

    `field`: what people know the place by. `rights`: what its key must allow.
    """

    def __init__(
        self,
        place: S3,
        access: Access,
        patience: timedelta = _PATIENCE,
        field: str = "workspace.s3",
        rights: str = "read, write, list and delete",
    ) -> None:
        self._place = place
        self._field = field
        self._rights = rights
        self._store = _store(place, access, patience, field)

    def read(self, key: str) -> bytes | None:
        """An object's bytes, or None where there is no such object."""
        with self._requests():
            try:
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError as error:
                return _absent(error)

    def get(self, key: str, target: Path) -> bool:
        """Write an object into a file; False where there is no such object."""
        with self._requests():
            try:
                stream = obstore.get(self._store, key).stream()
            except FileNotFoundError as error:
                _absent(error)
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for chunk in stream:
                    file.write(chunk)
        return True

    def put(self, key: str, source: Path) -> None:
        """Write an object from a file, whatever was there."""
        with self._requests():
            obstore.put(self._store, key, source, max_concurrency=_PARTS_AT_ONCE)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object where there is none (If-None-Match); False where there is one."""
        with self._requests():
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def sizes(self, folder: str) -> dict[str, int]:
        """Every object below a folder, with its bytes."""
        with self._requests():
            return {meta["path"]: meta["size"] for chunk in _list(self._store, f"{folder}/") for meta in chunk}

    def folders(self, folder: str) -> list[str]:
        """The folders directly in a folder, sorted."""
        with self._requests():
            return sorted(_list_folder(self._store, f"{folder}/")["common_prefixes"])

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects that may be there."""
        with self._requests():
            for first in range(0, len(keys), _AT_ONCE):
                obstore.delete(self._store, list(keys[first : first + _AT_ONCE]))

    @contextmanager
    def _requests(self) -> Generator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            # The whole text has what was signed, and the server's own words.
            log.warning("the bucket refuses: %s %s", _status(error), _code(error))
            fault = self._fault(error)
            if fault is None:
                raise
            raise fault from None

    def _fault(self, error: Exception) -> RemoteError | None:
        code, status, place = _code(error), _status(error), self._place
        if code == "NoSuchBucket":
            words = f"there is no bucket {place.bucket} at {place.endpoint}: make it, or correct the endpoint"
            return RemoteError(Reason.BUCKET_MISSING, words)
        if code in _KEY_REFUSED or status in ("401", "403"):
            words = (
                f"{place.endpoint} refuses the key of Secret {place.secret_ref.name}: it must be current, and may"
                f" {self._rights} in bucket {place.bucket}; region {place.region} must be the bucket's"
            )
            return RemoteError(Reason.WORKSPACE_KEY_REFUSED, words)
        if not status or status == "429" or status.startswith("5"):
            words = f"{place.endpoint} does not answer for bucket {place.bucket}: check endpoint, region, network and"
            return RemoteError(Reason.WORKSPACE_UNAVAILABLE, f"{words} {self._field}.caBundleRef")
        return None


def _absent(error: FileNotFoundError) -> None:
    """None where the object is not there; a bucket that is not there is told apart."""
    if _code(error) not in ("NoSuchKey", ""):
        raise error


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _status(error: Exception) -> str:
    found = _STATUS.search(str(error))
    return found[1] if found else ""
