"""What ends a command: one line on standard error, exit code 1, no traceback."""

from __future__ import annotations


class CommandError(Exception):
    """Why a command cannot go on, as it is printed."""
