"""`kubectl_complete-flywheel`: what kubectl runs when `kubectl flywheel ...` is completed.

It gives the words so far, the last of them unfinished, and reads a word a line, then a directive of cobra's: `:4` says
that no file name fits, `:0` that one may.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress

import typer

from flywheel.cli.main import app

_TAKE_FILES = ("lint", "preview", "estimate", "run", "replay", "report")


def main() -> None:
    """Answer as for bash, by the completion that typer has."""
    words = sys.argv[1:] or [""]
    os.environ["_FLYWHEEL_COMPLETE"] = "complete_bash"
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = shlex.join(["flywheel", *words]), str(len(words))
    with suppress(SystemExit):
        app(prog_name="flywheel")
    typer.echo(":0" if words[0] in _TAKE_FILES and len(words) > 1 else ":4")
