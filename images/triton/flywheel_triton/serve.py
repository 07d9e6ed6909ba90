"""Starts tritonserver in this process's place.

Settings come from the environment: MODEL_NAME (the stable name; several with commas between), MODEL_REPOSITORY (its
folder, filled by seed.py), BASE_MODEL (folder of the base model), TRITON_SERVER (the installed server), HTTP_PORT,
GRPC_PORT, METRICS_PORT.
Arguments are the server's own, such as --grpc-use-ssl=true.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence

# Below the pod's terminationGracePeriodSeconds: requests under way are finished.
_EXIT_SECONDS = 20
_PORTS = {"http": "8000", "grpc": "8001", "metrics": "8002"}


def command(environment: Mapping[str, str], more: Sequence[str] = ()) -> list[str]:
    """The server's command line. Stable models are loaded at start; before the first adapter that fails."""
    server = environment["TRITON_SERVER"]
    ports = {name: environment.get(f"{name.upper()}_PORT", usual) for name, usual in _PORTS.items()}
    return [
        f"{server}/bin/tritonserver",
        f"--model-repository={environment['MODEL_REPOSITORY']}",
        f"--backend-directory={server}/backends",
        # Only what the operator asks for is loaded, by gRPC.
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in environment["MODEL_NAME"].split(",")),
        "--exit-on-error=false",
        # Else the server is not ready while any model loads, and the Service has no endpoint.
        "--strict-readiness=false",
        "--disable-auto-complete-config",
        f"--exit-timeout-secs={_EXIT_SECONDS}",
        *(f"--{name}-port={port}" for name, port in ports.items()),
        *more,
    ]


def main() -> None:
    """Become the server."""
    environment = dict(os.environ)
    # The Python backend links to libpython, which may lie beside the interpreter only.
    libraries = [str(sysconfig.get_config_var("LIBDIR")), environment.get("LD_LIBRARY_PATH", "")]
    environment["LD_LIBRARY_PATH"] = ":".join(path for path in libraries if path)
    arguments = command(environment, sys.argv[1:])
    os.execve(arguments[0], arguments, environment)  # noqa: S606 - no shell, and nothing is left to wait for


if __name__ == "__main__":
    main()
