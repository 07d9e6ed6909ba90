"""A hand in a run's status: whatever was taken away or written, the run ends with the truth or says what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from checks import status_schema
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from resources import run_spec
from simulation import World

from flywheel.api.conditions import Reason
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.loop.decide import decide_run, ended
from flywheel.loop.soundness import damage

Path = tuple[str | int, ...]
# The API server refuses to take these away or to change them (CEL in the CRD; tests/apiserver/test_status_by_hand.py).
KEPT = {"curriculum", "workspace", "endedAt"}
VALUES: dict[type, list[Any]] = {
    int: [0, 1, 2, 7, 10**6],
    bool: [True, False],
    str: ["", "train", "soon", "0.9999", "-1.0", "2999-01-01T00:00:00Z", "1999-01-01T00:00:00Z"],
    list: [[]],
    dict: [{}],
}
ACCURACIES = [0.3, 0.5, 0.6, 0.7]
TURNS = 19  # the run ends in the next


def world() -> World:
    return World(spec=run_spec(maxIterations=3), accuracies=ACCURACIES)


def at(turn: int) -> World:
    """A world in which nothing goes wrong, so many turns on."""
    found = world()
    for _ in range(turn):
        if not found.ended:
            found.turn()
    return found


def live_on(found: World) -> FlywheelRunStatus:
    """To the end, or until the status is said to be damaged; never an error, never a Job beside another."""
    for _ in range(200):
        plan = decide_run(found.observe(), found.now)
        for name in plan.delete:
            del found.jobs[name]
        for job in plan.create:
            if job.name not in found.jobs:  # else it is ours, and adopted
                assert not any(entry.view.active for entry in found.jobs.values()), "two Jobs of one run at work"
                found._create(job, recorded=True)
        found.status = plan.status.to_json_object()
        if found.ended or is_damaged(plan.status):
            return plan.status
        for entry in list(found.jobs.values()):
            found._further(entry)
        found.now = found.now.replace(year=found.now.year + 1)
    raise AssertionError(f"it does not end: {found.status['conditions']}")


def is_damaged(status: FlywheelRunStatus) -> bool:
    return any(entry.reason == Reason.STATUS_DAMAGED for entry in status.conditions)


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """Every field, and every entry of a list."""
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if (*here, key)[0] not in KEPT:
            yield (*here, key)
            yield from paths(entry, (*here, key))


def edited(status: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy without what is at this path, or with another value."""
    changed = copy.deepcopy(status)
    parent: Any = changed
    for key in path[:-1]:
        parent = parent[key]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return changed


def story(status: FlywheelRunStatus) -> dict[str, Any]:
    """What a run has found out."""
    reason = next((entry.reason for entry in status.conditions if entry.type == "Completed"), None)
    measured = [(one.number, one.validation and one.validation.accuracy, one.tested) for one in status.history]
    best, candidate = (one and one.iteration for one in (status.best, status.candidate))
    return {"end": reason, "history": measured, "best": best, "candidate": candidate, "tests": status.test_openings}


def accepted_by_the_api_server(status: dict[str, Any]) -> bool:
    try:
        FlywheelRunStatus.model_validate(status)  # the schema's checker knows no formats
    except ValidationError:
        return False
    conditions = status.get("conditions", [])
    if any(entry.get("type") in ("Completed", "Failed") and entry.get("status") == "True" for entry in conditions):
        return False
    keys = [[entry.get(key) for entry in status.get(name, [])] for name, key in (("history", "number"),)]
    return status_schema().is_valid(status) and all(len(set(found)) == len(found) for found in keys)


def value_at(status: Any, path: Path) -> Any:
    for key in path:
        status = status[key]
    return status


@given(st.integers(1, TURNS), st.data())
def test_what_is_taken_away_is_found_again_or_missed(turn: int, data: st.DataObject) -> None:
    before = at(turn)
    assert not before.ended
    fields = [path for path in paths(before.status) if isinstance(path[-1], str)]
    assume(fields)
    whole = copy.deepcopy(before.status)
    before.status = edited(whole, data.draw(st.sampled_from(fields)), None)
    assume(accepted_by_the_api_server(before.status))
    status = live_on(before)
    if is_damaged(status):
        before.status = whole
        status = live_on(before)
    assert story(status) == story(live_on(world()))


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # the API server would refuse some
@given(st.integers(1, TURNS), st.data())
def test_whatever_is_written_the_run_ends_or_says_what_is_wrong(turn: int, data: st.DataObject) -> None:
    before = at(turn)
    assert not before.ended
    before.honest = False  # what agrees with itself and is not so is found by the step that reads it
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(paths(before.status))
        assume(found)
        path = data.draw(st.sampled_from(found))
        value = data.draw(st.sampled_from(VALUES[type(value_at(before.status, path))]))
        before.status = edited(before.status, path, value)
        assume(accepted_by_the_api_server(before.status))
    status = live_on(before)
    assert ended(status) or is_damaged(status)
    assert not (
        is_damaged(status) and any(entry.status == "True" and entry.type == "Ready" for entry in status.conditions)
    )


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("current", "number"), 7, "by history and baseline it must be 3"),
        (("history", 0), None, "holds the iterations [2]"),
        (("history", 0, "number"), 9, "holds the iterations [9, 2]"),
        (("history", 1, "steps", 2), None, "has the steps exam, answer, train"),
        (("history", 1, "tested"), False, "tested"),
        (("history", 0, "proficiency"), None, "no proficiency"),
        (("current", "steps", 0), None, "has the steps answer"),
        (("current", "examAccuracy"), None, "no exam_accuracy"),
        (("baseline"), [], "baseline"),
        (("best"), None, "status.best is None"),
        (("best", "accuracy"), "0.1", "status.best is 0.1"),
        (("best", "iteration"), 3, "has no validation"),
        (("testOpenings"), 0, "testOpenings is 0"),
        (("firstTest"), None, "first_test"),
        (("test"), None, "does not agree with test"),
        (("candidate"), None, "status.candidate is not the one"),
        (("candidate", "iteration"), 3, "has no test"),
    ],
)  # fmt: skip
def test_damage_is_said_in_words(path: Path | str, value: Any, words: str) -> None:
    before = world()
    while len(before.read_status().history) < 2 or len(before.read_status().current.steps) < 2:  # type: ignore[union-attr]
        before.turn()
    assert damage(before.read_status()) is None
    before.status = edited(before.status, (path,) if isinstance(path, str) else path, value)
    plan = decide_run(before.observe(), before.now)
    stalled = next(entry for entry in plan.status.conditions if entry.type == "Stalled")
    assert stalled.reason == "StatusDamaged" and words in stalled.message and "put it back" in stalled.message
    assert not plan.create and not plan.delete


def test_conditions_are_written_anew_also_after_the_end() -> None:
    found = world()
    found.to_end()
    truth = copy.deepcopy(found.status)
    forged = {
        "type": "Stalled",
        "status": "True",
        "reason": "Made",
        "message": "up",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    found.status["conditions"] = [
        entry | {"status": "False"} if entry["type"] == "Ready" else entry for entry in truth["conditions"]
    ]
    found.status["conditions"].append(forged)
    plan = decide_run(found.observe(), found.now)
    said = {entry.type: (entry.status, entry.reason) for entry in plan.status.conditions}
    assert said == {entry["type"]: (entry["status"], entry["reason"]) for entry in truth["conditions"]}
