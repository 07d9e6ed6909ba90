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

# Services of clouds for their machines that are not link-local: Alibaba, Azure, Oracle, AWS, Google.
_METADATA = tuple(
    ipaddress.ip_network(text)
    for text in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::/32")
)
# IPv6 networks whose last 32 bits are an IPv4 address: translated (NAT64), and the old "compatible" ones.
_CARRIERS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host; none where its name is not known."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(entry[4][0]) for entry in found})


def require_allowed(
    url: str, hosts: Sequence[str], resolver: Resolve = resolve, *, field: str = "baseURL", by_proxy: bool = False
) -> None:
    """Refuse a URL before anything is sent; raises TryLaterError, for Secret and resource can be mended.

    `by_proxy`: the proxy looks the name up, so that it may be unknown here.
    """
    host, port = _host_and_port(url, field)
    if host not in hosts:
        text = f"host {host} is not among the hosts of the teacher's Secret: add it there, or change the {field}"
        raise TryLaterError(text, Reason.TEACHER_SECRET)
    addresses = resolver(host, port)
    if not addresses and not by_proxy:
        text = f"the teacher's host {host} has no address: check spec.teacher.{field} and the cluster's DNS"
        raise TryLaterError(text, Reason.TEACHER_UNAVAILABLE)
    for address in addresses:
        if _forbidden(address):
            text = f"host {host} leads to {address}, a link-local or metadata address: no key is sent there"
            raise TryLaterError(text, Reason.TEACHER_SECRET)


def _host_and_port(url: str, field: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # no number, or larger than any port
        host, port, parts = None, 0, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise TryLaterError(f"spec.teacher.{field} {url!r} is no http or https address", Reason.TEACHER_SECRET)
    return host, port


def _forbidden(text: str) -> bool:
    address = _carried(ipaddress.ip_address(text.split("%")[0]))
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return True
    return any(address.version == network.version and address in network for network in _METADATA)


def _carried(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 address carries, or else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in network for network in _CARRIERS):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
