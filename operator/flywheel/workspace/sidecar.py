"""The sidecar of a step that needs a bucket, and how the step asks it: one JSON line there and one back, over a socket.

The sidecar alone holds the bucket's key. `python -m flywheel.workspace.sidecar` is its program.
Must not know what is asked.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import socketserver
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from flywheel.api.conditions import Reason
from flywheel.api.request import StepRequest
from flywheel.api.workspace import S3
from flywheel.workspace.remote import Operation, RemoteError
from flywheel.workspace.store import Workspace

log = logging.getLogger("flywheel.sidecar")

# No path of a workspace begins with a dot.
SOCKET = ".sidecar"
_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.2
Do = Callable[..., Any]


class SidecarError(Exception):
    """The sidecar could not do what it was asked; its log says why."""


class Sidecar:
    """How a step asks. A sidecar that is not there yet, or was killed, is waited for and asked again."""

    def __init__(self, path: Path, wait: float = _WAIT_SECONDS) -> None:
        self._path = path
        self._wait = wait

    def __call__(self, operation: Operation, *paths: str) -> Any:
        """Have an operation done; raises RemoteError, SidecarError."""
        deadline: float | None = None
        while True:
            try:
                answer = self._asked({"do": operation, "paths": paths})
                break
            except (OSError, ValueError) as error:
                deadline = deadline or time.monotonic() + self._wait
                if time.monotonic() >= deadline:
                    words = "the pod's sidecar does not answer: see kubectl logs, container sidecar"
                    raise RemoteError(Reason.WORKSPACE_UNAVAILABLE, words) from error
            time.sleep(_POLL_SECONDS)
        if "reason" in answer:
            raise RemoteError(Reason(answer["reason"]), answer["message"])
        if "failed" in answer:
            raise SidecarError(f"{operation}: {answer['failed']}")
        return answer["value"]

    def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._path))
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as answer:
                return json.loads(answer.readline())


def answer(do: Do, line: bytes) -> dict[str, Any]:
    """The answer to one question."""
    try:
        question = json.loads(line)
        return {"value": do(question["do"], *question["paths"])}
    except RemoteError as error:
        log.warning("%s", error)
        return {"reason": error.reason.value, "message": str(error)}
    except Exception as error:  # the step is told, and fails; the sidecar goes on
        log.exception("cannot do what was asked")
        return {"failed": f"{type(error).__name__}: see the log of container sidecar"}


def serve(path: Path, do: Do) -> socketserver.ThreadingUnixStreamServer:
    """A server of questions; `serve_forever` answers them."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(json.dumps(answer(do, self.rfile.readline())).encode() + b"\n")

    path.unlink(missing_ok=True)
    return socketserver.ThreadingUnixStreamServer(str(path), Handler)


def main() -> None:
    """Serve one step until its container has ended."""
    begin()
    root = Path(os.environ["FLYWHEEL_WORKSPACE"])
    with serve(Path(os.environ["FLYWHEEL_SOCKET"]), _staging(root)) as server:
        server.daemon_threads = True
        server.serve_forever()


def begin() -> None:
    """As the first process of a container beside others: it logs, and ends at once when it is asked to."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, _ended)


def _ended(_signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _staging(root: Path) -> Do:
    """Made at the first question, so that what is wrong with the Secret is an answer."""
    # Only here: a step's own image has no S3 library.
    from flywheel.workspace.bucket import Access, Bucket
    from flywheel.workspace.fetched import fetch_source
    from flywheel.workspace.served import Served
    from flywheel.workspace.staging import Staging

    @cache
    def request() -> StepRequest:
        return StepRequest.model_validate_json(os.environ["FLYWHEEL_REQUEST"])

    @cache
    def staging() -> Staging:
        place = S3.model_validate_json(os.environ["FLYWHEEL_S3"])
        return Staging(request(), Workspace(root), Bucket(place, Access.of(os.environ)))

    @cache
    def served() -> Served:
        return Served(request(), os.environ)

    def do(operation: Operation, *paths: str) -> Any:
        if operation == "source":
            return fetch_source(request(), Workspace(root), os.environ, *paths)
        if operation in ("bring", "put_revision"):
            return served().do(operation)
        return staging().do(operation, *paths)

    return do


if __name__ == "__main__":
    main()
