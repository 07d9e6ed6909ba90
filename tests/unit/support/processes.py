"""What tests that start servers need of the operating system."""

from __future__ import annotations

import ctypes
import signal
import socket


def free_port(address: str = "127.0.0.1") -> int:
    """A port of that address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """A killed test run leaves no process behind (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
