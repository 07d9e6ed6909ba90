"""The operator dies at each write, or each write or its answer is lost or refused: the same end, no Job made twice.

Three stories: two iterations; a run suspended, resumed and stopped; a rollout. Each write of each meets each fault.
By default one telling of a story meets a fault at every eighth write, so that eight tellings meet it at all of them.
FLYWHEEL_FAULTS=alone (`make faults`) gives each its own telling: nothing else goes wrong before it or after it.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from bed_faults import WRITE_FAULTS, UnluckyClient, WriteFault
from bed_rig import Rig, Told
from bed_stories import STORIES, Story
from faults_table import AddRow

ALONE = os.environ.get("FLYWHEEL_FAULTS") == "alone"
TOGETHER = 8
Case = tuple[WriteFault, frozenset[str]]
LATE: WriteFault = "dies after, back late"
SUSPENDS = "DELETE jobs/first-1-exam-1 #1"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_write(rig: Rig, story: Story, add_row: AddRow) -> None:
    """Whatever write it was: statuses, Jobs and what serves are as where nothing went wrong, and nothing is at work."""
    golden = rig.golden(story)
    writes = golden.luck.client.writes
    step = len(writes) if ALONE else TOGETHER
    cases: list[Case] = [
        (fault, frozenset(writes[first::step]) - ({SUSPENDS} if fault == LATE else set()))
        for fault in WRITE_FAULTS
        for first in range(step)
    ]
    rows = {fault: add_row(story.name, f"write: {fault}") for fault in WRITE_FAULTS}

    def tell(case: Case) -> Told:
        return rig.tell(story, rig.luck(UnluckyClient(rig.client, *case)))

    faults: list[str] = []
    for (fault, targets), told in zip(cases, rig.at_once(tell, cases), strict=True):
        found = told.outcome.faults(golden.outcome) + _not_met(fault, targets, told)
        rows[fault].count(len(targets), found, told.outcome.duplicates(golden.outcome))
        faults += [f"{fault} {sorted(targets)}:\n  {one}" for one in found]
    assert not faults, "\n".join(faults)


def _not_met(fault: WriteFault, targets: frozenset[str], told: Told) -> list[str]:
    """A case that did not happen proves nothing."""
    hit = told.luck.client.hit
    found = [f"no such write was made: {name}" for name in sorted(targets - set(hit))]
    if fault.startswith("dies") and told.deaths != len(hit):
        found.append(f"died {told.deaths} times, not {len(hit)}")
    return found


def test_suspended_by_an_operator_that_died(rig: Rig) -> None:
    """The Job was deleted, and is gone before anybody wrote so: whether it left a result is looked up, once."""
    suspended = STORIES[1]
    told = rig.tell(suspended, rig.luck(UnluckyClient(rig.client, LATE, frozenset({SUSPENDS}))))
    golden = rig.golden(suspended).outcome
    assert told.deaths == 1 and told.outcome.statuses == golden.statuses and not told.outcome.active
    assert told.outcome.jobs - golden.jobs == Counter(["first-1-exam-2, reads 1 again", "first-1-exam-3"])
    assert golden.jobs - told.outcome.jobs == Counter(["first-1-exam-2"])


def test_golden(rig: Rig) -> None:
    """What the others are compared with is what it should be; and told again it is the same."""
    whole, suspended, rollout = (rig.golden(story) for story in STORIES)
    writes = whole.luck.client.writes
    assert len(writes) == len(set(writes)) > 70
    status = whole.outcome.statuses["FlywheelRun first"]
    assert [entry["number"] for entry in status["history"]] == [1, 2]
    assert set(whole.outcome.jobs.values()) == {1} and len(whole.outcome.jobs) == 15
    assert suspended.outcome.jobs.keys() >= {"first-1-exam-1", "first-1-exam-2"}
    assert [write for write in suspended.luck.client.writes if write.startswith("DELETE")]
    assert rollout.outcome.statuses["AdapterDeployment severity"]["serving"]["iteration"] == 2
    assert [pod["models"].keys() for pod in rollout.outcome.serving] == [{"severity"}] * 2
    for story, golden in zip(STORIES, (whole, suspended, rollout), strict=True):
        again = rig.tell(story)
        assert again.luck.client.writes == golden.luck.client.writes
        assert again.outcome.faults(golden.outcome) == []
