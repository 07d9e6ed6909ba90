"""Watch events are hints: lost, doubled or late ones change nothing, and an operator that is behind does no harm.

Each event of three stories meets each fault, by default at every fifth in one telling; FLYWHEEL_FAULTS=alone (`make
faults`) gives each its own. The periodic listing mends what was lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from bed_faults import NewsFault, UnluckyNews
from bed_rig import Rig, Told
from bed_stories import ROLLOUT, SUSPENDED, Story, whole
from faults_table import AddRow

ALONE = os.environ.get("FLYWHEEL_FAULTS") == "alone"
TOGETHER = 5
STORIES = (whole(1), SUSPENDED, ROLLOUT)
FAULTS: tuple[NewsFault, ...] = ("dropped", "doubled", "after the next", "5 later")
Case = tuple[NewsFault, Callable[[int], bool]]


def always(_number: int) -> bool:
    """Whatever the event's number."""
    return True


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_event(rig: Rig, story: Story, add_row: AddRow) -> None:
    """The same end, whichever event it was."""
    golden = rig.golden(story)
    seen = golden.luck.news.seen
    step = seen if ALONE else TOGETHER
    cases: list[Case] = [
        (fault, lambda number, first=first: number % step == first) for fault in FAULTS for first in range(step)
    ]
    rows = {fault: add_row(story.name, f"news: {fault}") for fault in FAULTS}
    faults: list[str] = []
    for (fault, _), told in zip(cases, _told(rig, story, cases), strict=True):
        found = told.outcome.faults(golden.outcome)
        rows[fault].count(told.luck.news.hit, found, told.outcome.duplicates(golden.outcome))
        faults += [f"{fault}: {one}" for one in found]
    assert not faults, "\n".join(faults)
    # How often a Job's status is written between its beginning and its end is the Job controller's affair.
    assert all(row.cases > 0.9 * seen for row in rows.values())


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_all_events(rig: Rig, story: Story, add_row: AddRow) -> None:
    """The same end when it is every one of them: without any news, listings alone bring a run to its end."""
    golden = rig.golden(story)
    cases: list[Case] = [(fault, always) for fault in FAULTS]
    faults: list[str] = []
    for (fault, _), told in zip(cases, _told(rig, story, cases), strict=True):
        found = told.outcome.faults(golden.outcome)
        add_row(story.name, f"all news: {fault}").count(1, found, told.outcome.duplicates(golden.outcome))
        faults += [f"all {fault}: {one}" for one in found]
    assert not faults, "\n".join(faults)


def _told(rig: Rig, story: Story, cases: list[Case]) -> list[Told]:
    return rig.at_once(lambda case: rig.tell(story, rig.luck(news=UnluckyNews(*case))), cases)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_second_operator_that_is_behind(rig: Rig, story: Story, add_row: AddRow) -> None:
    """It decides on an old picture all the time, as one that lost its lease and does not know: nothing comes of it."""
    golden = rig.golden(story)
    late: tuple[NewsFault, ...] = ("after the next", "5 later", "30 later")
    row = add_row(story.name, "a second operator is behind")

    def tell(fault: NewsFault) -> Told:
        return rig.tell(story, rig.luck(), rig.luck(news=UnluckyNews(fault, always)))

    faults: list[str] = []
    for fault, told in zip(late, rig.at_once(tell, late), strict=True):
        found = told.outcome.faults(golden.outcome)
        row.count(1, found, told.outcome.duplicates(golden.outcome))
        faults += [f"{fault}: {one}" for one in found]
    assert not faults, "\n".join(faults)
