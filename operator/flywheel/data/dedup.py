"""One item once, and no item nearly the same in two pools; inputs that two lines label differently are left out.

Must not know files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from flywheel.api.leakage import Leakage
from flywheel.data.firewall import compared
from flywheel.data.near_duplicates import Known, Sketch, sketch
from flywheel.data.normalise import question_id
from flywheel.data.sources import Placed, Reject

# Where copies lie in several pools, the one that was perhaps trained on stays: it may never become held out.
_PREFERENCE = ("curriculum", "exam", "probe", "validation", "test")


def deduplicate(
    placed: Iterable[Placed], label_path: str, pool_of: Callable[[str], str]
) -> tuple[list[Placed], list[Reject]]:
    """The items that stay, in order, and rejects (ConflictingLabels, Duplicate) that count against nobody."""
    by_question: defaultdict[str, list[Placed]] = defaultdict(list)
    for entry in placed:
        by_question[question_id(entry.item.input)].append(entry)
    kept: list[Placed] = []
    rejects: list[Reject] = []
    for entries in by_question.values():
        labels = {str(entry.item.output[label_path]) for entry in entries}
        if len(labels) > 1:
            rejects += [entry.left_out("ConflictingLabels", "the same input has two labels") for entry in entries]
            continue
        first = min(entries, key=lambda entry: _PREFERENCE.index(pool_of(entry.item.group)))
        kept.append(first)
        rejects += [entry.left_out("Duplicate", "the same item came before") for entry in entries if entry is not first]
    return kept, rejects


def keep_apart(
    placed: Iterable[Placed], leakage: Leakage, pool_of: Callable[[str], str]
) -> tuple[list[Placed], list[Reject]]:
    """The items that have no near-duplicate in a pool that is preferred to theirs, in order, and the others.

    A group's pool never depends on items, so an item that was perhaps trained on cannot become held out.
    """
    entries = list(placed)
    known, near = Known(float(leakage.threshold)), set[int]()
    for pool in _PREFERENCE:
        apart: list[tuple[int, Sketch]] = []
        for place, entry in enumerate(entries):
            if pool_of(entry.item.group) == pool:
                found = sketch(compared(entry.item.input, leakage.fields))
                if known.nearest(found) is None:
                    apart.append((place, found))
                else:
                    near.add(place)
        for place, found in apart:
            known.add(str(place), found)
    message = "nearly the same as an item of another pool"
    rejects = [entries[place].left_out("NearDuplicate", message) for place in sorted(near)]
    return [entry for place, entry in enumerate(entries) if place not in near], rejects
