"""`python -m flywheel.report WORKSPACE [namespace/name]`: the page on standard output or in a file.

For where only the operator's image is at hand; `flywheel report` is the same for people.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flywheel.report.page import page
from flywheel.report.resources import BadResourcesError, Resources, read_resources
from flywheel.report.run import find_run
from flywheel.workspace.manifest import WrongInputError
from flywheel.workspace.recorded import NoRunError


def main() -> int:
    """0, or 2 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m flywheel.report", description="A run as one HTML page.")
    parser.add_argument("workspace", type=Path, help="folder of the workspace")
    parser.add_argument("name", nargs="?", help="namespace/name of the run, where there are several")
    parser.add_argument("--resources", type=Path, help="folder with resources as kubectl get -o yaml prints them")
    parser.add_argument("--output", type=Path, help="file to write; standard output when absent")
    asked = parser.parse_args()
    try:
        resources = read_resources(asked.resources) if asked.resources is not None else Resources()
        made = page(find_run(asked.workspace, asked.name, resources))
    except (BadResourcesError, NoRunError, WrongInputError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.output is None:
        sys.stdout.buffer.write(made)
    else:
        asked.output.write_bytes(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
