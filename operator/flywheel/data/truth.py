"""Items whose labels are not to be trusted for measuring: they may teach, and never displace or become held-out ones.

Must not know files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from flywheel.data.firewall import Firewall
from flywheel.data.normalise import question_id
from flywheel.data.pools import UNSEEN
from flywheel.data.sources import Placed, Reject

HOLDABLE = ("Human", "Rule")


def admit(
    placed: Iterable[Placed], pool_of: Callable[[str], str], firewall: Firewall, known: Collection[str]
) -> tuple[list[Placed], list[Reject]]:
    """Items of a teacher or of feedback that may be taught from, in order, and the others.

    Left out are items of a group whose pool is held out (a group is never split), those that are held-out items
    again, and those whose question (a digest in `known`) a more trusted source has.
    """
    kept: list[Placed] = []
    rejects: list[Reject] = []
    for entry in placed:
        if pool_of(entry.item.group) in UNSEEN:
            rejects.append(entry.left_out("TruthUnfit", "its group is held out, and its label is not to be trusted"))
        elif firewall.leak(entry.item.input) is not None:
            rejects.append(entry.left_out("MatchesHeldOut", "is a held-out item again"))
        elif question_id(entry.item.input) in known:
            rejects.append(entry.left_out("Duplicate", "a more trusted source has the same item"))
        else:
            kept.append(entry)
    return kept, rejects
