"""The key goes to the hosts that its Secret names and nowhere else."""

from __future__ import annotations

import pytest

from flywheel.teacher.addresses import require_allowed
from flywheel.workspace.program import TryLaterError

HOSTS = ["teacher.example.com", "rehearsal-teacher"]


def allow(url: str, *addresses: str) -> None:
    require_allowed(url, HOSTS, lambda _host, _port: addresses)


@pytest.mark.parametrize("url", ["https://teacher.example.com/v1", "http://rehearsal-teacher:8000/v1"])
def test_a_named_host_is_allowed(url: str) -> None:
    allow(url, "10.96.3.7", "2001:db8::1", "127.0.0.1", "::1", "64:ff9b::808:808", "fd12:3456::1")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/v1",
        "https://teacher.example.com@evil.example.com/v1",
        "https://teacher.example.com.evil.example.com/v1",
        "file:///etc/passwd",
        "//teacher.example.com/v1",
        "https:///v1",
        "",
    ],
)
def test_other_hosts_are_refused(url: str) -> None:
    with pytest.raises(TryLaterError) as raised:
        allow(url, "10.0.0.1")
    assert raised.value.reason == "TeacherSecret"


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",  # noqa: S104
        "::",
        "224.0.0.1",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::23",
        "fd20:ce::254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
    ],
)
def test_link_local_and_metadata_addresses_are_refused_behind_any_name(address: str) -> None:
    with pytest.raises(TryLaterError, match="no key is sent"):
        allow("https://teacher.example.com/v1", "10.0.0.1", address)


def test_spellings_of_the_metadata_address_are_resolved_first() -> None:
    for host in ("2852039166", "0xa9fea9fe", "169.254.43518"):
        with pytest.raises(TryLaterError, match="no key is sent"):
            require_allowed(f"http://{host}/v1", [host])


def test_a_name_without_an_address_is_tried_later() -> None:
    with pytest.raises(TryLaterError, match=r"DNS") as raised:
        require_allowed("http://teacher.invalid/v1", ["teacher.invalid"])
    assert raised.value.reason == "TeacherUnavailable"
