"""Keeps a serving pod's folder as the bucket has it: a container beside the server, with a key that only reads.

`python -m flywheel.workspace.pull`. FLYWHEEL_S3 (the place, as JSON), FLYWHEEL_S3_ACCESS_KEY_ID, _SECRET_ACCESS_KEY,
_HOSTS and perhaps _CA, FLYWHEEL_FOLDER; FLYWHEEL_PORT listens once the folder holds what the bucket has: what a startup
probe waits for. Must not know what serves.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from flywheel.api.workspace import S3
from flywheel.workspace.bucket import Access, Bucket
from flywheel.workspace.copied import Copy
from flywheel.workspace.remote import RemoteError
from flywheel.workspace.revisions import Revisions
from flywheel.workspace.sidecar import begin

log = logging.getLogger("flywheel.pull")

_EVERY_SECONDS = 5.0
_PATIENCE = timedelta(seconds=10)  # it is asked again anyway


def copy_of(environment: Mapping[str, str], rights: str) -> Copy:
    """The folder and the bucket that the environment names; exits with words where it does not."""
    try:
        place, folder = S3.model_validate_json(environment["FLYWHEEL_S3"]), Path(environment["FLYWHEEL_FOLDER"])
        bucket = Bucket(place, Access.of(environment), _PATIENCE, "FLYWHEEL_S3", rights)
    except (KeyError, ValidationError) as error:
        sys.exit(f"FLYWHEEL_S3 must be the place as JSON, FLYWHEEL_FOLDER a folder: {error}")
    except RemoteError as error:
        sys.exit(str(error))
    return Copy(Revisions(bucket), folder)


def main() -> None:
    """Bring what the bucket has, and go on until the pod ends."""
    begin()
    copy = copy_of(os.environ, "read and list")
    with ExitStack() as open_port:
        listening = False
        while True:
            before = copy.number
            try:
                copy.bring()
            except RemoteError as error:
                log.warning("%s", error)
            else:
                if copy.number != before:
                    log.info("the folder holds revision %d", copy.number)
                if not listening:
                    # Nobody is answered: that there is a port says enough.
                    port = int(os.environ.get("FLYWHEEL_PORT", "8090"))
                    open_port.enter_context(socket.create_server(("", port)))
                    listening = True
            time.sleep(_EVERY_SECONDS)


if __name__ == "__main__":
    main()
