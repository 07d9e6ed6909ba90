"""`flywheel replay WORKSPACE`: what code did in a finished run, repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flywheel.cli.errors import CommandError
from flywheel.cli.printing import terminal
from flywheel.local.repeat_steps import Verdict
from flywheel.local.replay import ReplayError, replayed

_MARKS: dict[bool | None, str] = {True: "same", False: "DIFFERENT", None: "open"}


def replay(
    workspace: Annotated[Path, typer.Argument(help="Folder of a workspace: of a local run, or a volume's.")],
    name: Annotated[str | None, typer.Argument(help="namespace/name of the run, where there are several.")] = None,
    resources: Annotated[
        Path | None, typer.Option(help="Folder with the Curriculum and FlywheelRun as kubectl get -o yaml prints them.")
    ] = None,
) -> None:
    """Repeat what code did in a finished run.

    From its ledger and its recorded answers, without any network.
    """
    try:
        same = print_verdicts(terminal(), replayed(workspace, name, resources))
    except ReplayError as error:
        raise CommandError(f"error: {error}") from None
    if not same:
        raise typer.Exit(1)


def print_verdicts(console: Console, verdicts: Iterable[Verdict]) -> bool:
    """A line for each, as it comes; whether none is different."""
    counts: Counter[bool | None] = Counter()
    for verdict in verdicts:
        counts[verdict.same] += 1
        words = f"iteration {verdict.iteration:<3} {verdict.what:<20} {_MARKS[verdict.same]:<10} {verdict.words}"
        console.print(words, highlight=False, markup=False, style="red" if verdict.same is False else None)
    still = f", {counts[None]} not repeated" if counts[None] else ""
    console.print(f"{counts[True] + counts[False]} repeated, {counts[False]} different{still}", highlight=False)
    return not counts[False]
