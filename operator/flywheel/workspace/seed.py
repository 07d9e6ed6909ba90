"""Puts folders into a served bucket that it does not have yet, such as a Triton model; changes none that it has.

`python -m flywheel.workspace.seed`, once, by the people who own the server; the environment is pull.py's, but for the
port. Must not know what serves.
"""

from __future__ import annotations

import logging
import os
import sys

from flywheel.workspace.pull import copy_of
from flywheel.workspace.remote import RemoteError
from flywheel.workspace.sidecar import begin

log = logging.getLogger("flywheel.seed")


def main() -> None:
    """Exits with 0 once the bucket has them."""
    begin()
    copy = copy_of(os.environ, "read, write, list and delete")
    try:
        if not copy.seed():
            sys.exit("somebody else changed the bucket just now: try again")
    except RemoteError as error:
        sys.exit(str(error))
    log.info("the bucket holds revision %d", copy.number)


if __name__ == "__main__":
    main()
