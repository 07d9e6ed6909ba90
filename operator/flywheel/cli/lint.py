"""`flywheel lint FILES...`: manifests against schema and rules, without a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from flywheel.cli.errors import CommandError
from flywheel.cli.linting import lint as linted
from flywheel.cli.options import Format, Output
from flywheel.cli.printing import print_data


def lint(
    files: Annotated[list[Path], typer.Argument(help="Manifests, or folders of them; - reads standard input.")],
    output: Format = Output.TEXT,
) -> None:
    """Check manifests offline.

    Exit code 1 where the API server would refuse one. An overlay as it is built:
    kubectl kustomize FOLDER | flywheel lint -
    """
    found = linted(list(_read(files)))
    if output is not Output.TEXT:
        print_data(found.to_json_object(), output)
    else:
        for fault in found.faults:
            typer.echo(str(fault))
        others = f", {found.others} of other kinds left out" if found.others else ""
        typer.echo(f"{found.checked} documents checked{others}: {len(found.faults)} faults.")
        typer.echo("Not checked, only the cluster knows:")
        for entry in found.not_checked:
            typer.echo(f"  - {entry}")
    if not found.checked and not found.faults:
        raise CommandError("error: no Curriculum, FlywheelRun or AdapterDeployment in these files")
    if found.faults:
        raise typer.Exit(1)


def _read(paths: list[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        if str(path) == "-":
            yield "standard input", sys.stdin.read()
            continue
        files = sorted(path.glob("**/*.y*ml")) if path.is_dir() else [path]
        for file in files:
            try:
                yield str(file), file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"error: {file} cannot be read: {error}") from error
