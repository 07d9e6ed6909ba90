"""One item once: exact and normalised duplicates, and inputs that two lines label differently.

Near-duplicates come with the leakage firewall. Must not know files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

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
            rejects += [_reject(entry, "ConflictingLabels", "the same input has two labels") for entry in entries]
            continue
        first = min(entries, key=lambda entry: _PREFERENCE.index(pool_of(entry.item.group)))
        kept.append(first)
        rejects += [_reject(entry, "Duplicate", "the same item came before") for entry in entries if entry is not first]
    return kept, rejects


def _reject(entry: Placed, reason: str, message: str) -> Reject:
    return Reject(entry.item.source, entry.line, reason, "input", message, broken=False)
