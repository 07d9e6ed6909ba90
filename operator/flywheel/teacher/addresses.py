"""Where the teacher's key may go: only to the hosts that its Secret names, never to a link-local address.

Must not know what is asked.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from flywheel.api.conditions import Reason
from flywheel.workspace.program import TryLaterError

# Metadata services of clouds that are not link-local.
_METADATA = frozenset(ipaddress.ip_address(text) for text in ("100.100.100.200", "192.0.0.192", "fd00:ec2::254"))
Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host; raises TryLaterError where the name is not known."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        text = f"the teacher's host {host} has no address: check spec.teacher.baseURL and the cluster's DNS"
        raise TryLaterError(text, Reason.TEACHER_UNAVAILABLE) from error
    return sorted({str(entry[4][0]) for entry in found})


def require_allowed(url: str, hosts: Sequence[str], resolver: Resolve = resolve) -> None:
    """Refuse a URL before anything is sent; raises TryLaterError, for Secret and resource can be mended."""
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise TryLaterError(f"spec.teacher.baseURL {url!r} is no http or https address", Reason.TEACHER_SECRET)
    if host not in hosts:
        text = f"host {host} is not among the hosts of the teacher's Secret: add it there, or change the baseURL"
        raise TryLaterError(text, Reason.TEACHER_SECRET)
    for address in resolver(host, parts.port or (443 if parts.scheme == "https" else 80)):
        if _forbidden(address):
            text = f"host {host} leads to {address}, a link-local or metadata address: no key is sent there"
            raise TryLaterError(text, Reason.TEACHER_SECRET)


def _forbidden(text: str) -> bool:
    address = ipaddress.ip_address(text.split("%")[0])
    plain = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped else address
    return plain.is_link_local or plain.is_multicast or plain.is_unspecified or plain in _METADATA
