"""Where commands print to, and how they print data for programs."""

from __future__ import annotations

import json
from typing import Any

import typer
import yaml
from rich.console import Console

from flywheel.cli.options import Output

_LOG_WIDTH = 140


def terminal() -> Console:
    """A log has no width of its own: 80 columns would break every table."""
    console = Console()
    return console if console.is_terminal else Console(width=_LOG_WIDTH)


def print_data(data: Any, output: Output) -> None:
    """Plain data as JSON or YAML."""
    if output is Output.YAML:
        typer.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), nl=False)
    else:
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
