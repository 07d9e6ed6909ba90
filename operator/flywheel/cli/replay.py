"""`flywheel replay` on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console

from flywheel.local.repeat_steps import Verdict

_MARKS: dict[bool | None, str] = {True: "same", False: "DIFFERENT", None: "open"}


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
