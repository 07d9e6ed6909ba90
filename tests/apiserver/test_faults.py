"""The operator dies at each write, or each write or its answer is lost or refused: the same end, no Job made twice.

Three stories: two iterations; a run suspended, resumed and stopped; a rollout. Each write of each meets each fault.
By default one telling of a story meets a fault at every eighth write, so that eight tellings meet it at all of them.
FLYWHEEL_FAULTS=alone (`make faults`) gives each its own telling: nothing else goes wrong before it or after it.
"""

from __future__ import annotations

import os

import pytest
from bed_faults import WRITE_FAULTS, WriteFault
from bed_rig import Rig, Told
from bed_stories import STORIES, Story
from bed_table import add_row

ALONE = os.environ.get("FLYWHEEL_FAULTS") == "alone"
TOGETHER = 8


@pytest.mark.parametrize("fault", WRITE_FAULTS)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_write(rig: Rig, story: Story, fault: WriteFault) -> None:
    """Whatever write it was: statuses, Jobs and what serves are as where nothing went wrong, and nothing is at work."""
    golden = rig.golden(story)
    writes = golden.client.writes
    step = len(writes) if ALONE else TOGETHER
    targets = [frozenset(writes[first::step]) for first in range(step)]
    row = add_row(story.name, f"write: {fault}")
    faults: list[str] = []

    def tell(chosen: frozenset[str]) -> Told:
        return rig.tell(story, rig.unlucky(fault, chosen))

    for chosen, told in zip(targets, rig.at_once(tell, targets), strict=True):
        found = told.outcome.faults(golden.outcome)
        missed = sorted(chosen - set(told.client.hit))
        found += [f"no such write was made: {name}" for name in missed]
        if fault in ("dies before", "dies after") and told.deaths != len(told.client.hit):
            found.append(f"died {told.deaths} times, not {len(told.client.hit)}")
        row.cases += len(chosen)
        row.converged += 0 if found else len(chosen)
        row.duplicates += len(told.outcome.duplicates(golden.outcome))
        faults += [f"{fault} {', '.join(sorted(chosen))}:\n  {one}" for one in found]
    assert not faults, "\n".join(faults)


def test_golden(rig: Rig) -> None:
    """What the others are compared with is what it should be; and told again it is the same."""
    whole, suspended, rollout = (rig.golden(story) for story in STORIES)
    assert len(whole.client.writes) == len(set(whole.client.writes)) > 70
    status = whole.outcome.statuses["FlywheelRun first"]
    assert [entry["number"] for entry in status["history"]] == [1, 2]
    assert set(whole.outcome.jobs.values()) == {1} and len(whole.outcome.jobs) == 14
    assert suspended.outcome.jobs.keys() >= {"first-1-exam-1", "first-1-exam-2"}
    assert [write for write in suspended.client.writes if write.startswith("DELETE")]
    assert rollout.outcome.statuses["AdapterDeployment severity"]["serving"]["iteration"] == 2
    assert [pod["models"].keys() for pod in rollout.outcome.serving] == [{"severity"}] * 2
    for story in STORIES:
        again = rig.tell(story)
        assert again.client.writes == rig.golden(story).client.writes
        assert again.outcome.faults(rig.golden(story).outcome) == []
