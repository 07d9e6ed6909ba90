"""`flywheel replay` on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from flywheel.local.repeat_steps import Verdict


def print_verdicts(console: Console, verdicts: Iterable[Verdict]) -> bool:
    """A line for each, as it comes; whether all are the same."""
    total = different = 0
    for verdict in verdicts:
        total += 1
        different += not verdict.same
        mark = "same" if verdict.same else "DIFFERENT"
        words = f"iteration {verdict.iteration:<3} {verdict.what:<20} {mark:<10} {verdict.words}"
        console.print(words, highlight=False, markup=False, style=None if verdict.same else "red")
    console.print(f"{total} repeated, {different} different", highlight=False)
    return different == 0
