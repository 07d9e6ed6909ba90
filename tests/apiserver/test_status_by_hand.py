"""A hand in status, on a real API server: it refuses what could not be found out again; the operator mends the rest.

tests/unit/loop/test_status_by_hand.py takes away and writes every field there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from bed_control_plane import ControlPlane
from bed_node import HOLD, Stages
from bed_resources import curriculum, run

from conftest import Bed, Object, made_bed
from flywheel.controller.client import Api
from flywheel.controller.resources import CURRICULUM, RUN

THEN = "2026-01-01T00:00:00Z"


def forged(kind: str, status: str = "True") -> Object:
    """A condition that nobody but a hand writes."""
    return {"type": kind, "status": status, "reason": "Made", "message": "up", "lastTransitionTime": THEN}


MENDED: dict[str, Object] = {
    "untouched": {},
    "current": {"current": None},
    "steps": {"current": {"steps": []}},
    "numbers": {"iteration": 7, "step": "test"},
    "ordinal": {"attempt": {"ordinal": 5000, "judged": 5000}},
    "ready": {"conditions": [forged("Ready"), forged("Stalled")]},
    "unready": {"conditions": []},
}
DAMAGED: dict[str, tuple[Object, str]] = {
    "number": ({"current": {"number": 7}}, "status.current is iteration 7"),
    "baseline": ({"baseline": None}, "status.baseline or baselineStep is missing"),
}
REFUSED: list[tuple[Object, str]] = [
    ({"curriculum": None}, "status.curriculum stays"),
    ({"curriculum": {"name": "other"}}, "status.curriculum stays"),
    ({"workspace": {"persistentVolumeClaim": {"claimName": "other"}}}, "status.workspace stays"),
    ({"conditions": [forged("Completed")]}, "only the operator ends a run"),
    ({"conditions": [forged("Failed")]}, "only the operator ends a run"),
    ({"endedAt": THEN}, "only the operator ends a run"),
    ({"baseline": [{"name": "base", "accuracy": "high", "low": "0", "high": "1"}]}, "status.baseline[0].accuracy"),
    ({"attempt": {"retryAt": "soon"}}, "status.attempt.retryAt"),
    ({"attempt": {"ordinal": 10**18}}, "status.attempt.ordinal"),
]


@pytest.fixture(scope="module")
def script() -> Stages:
    """What the node does."""
    return Stages({(name, 1, "train"): HOLD for name in (*MENDED, *DAMAGED)})


@pytest.fixture(scope="module")
def touched(plane: ControlPlane, api: Api, script: Stages) -> Iterator[Bed]:
    """All runs in the middle of their training."""
    with made_bed(plane, api, "touched") as bed:
        bed.node.script = script
        bed.operator()
        bed.apply(curriculum(bed.namespace), *(run(bed.namespace, name, 1) for name in (*MENDED, *DAMAGED)))
        for name in (*MENDED, *DAMAGED):
            bed.until_started((name, 1, "train"))
            bed.until_condition(RUN, name, "Reconciling", "Running")
        yield bed


def touch(bed: Bed, target: str, status: Object, check: bool = True) -> str:
    """Change a status by hand."""
    patch = json.dumps({"status": status})
    arguments = ("patch", target, "--subresource=status", "--type=merge", "-p", patch)
    return bed.plane.kubectl("-n", bed.namespace, *arguments, check=check)


def story(bed: Bed, name: str) -> dict[str, Any]:
    """What a finished run has found out, without names of folders."""
    status = bed.until_completed(name)["status"]
    keep = ("proficiency", "examAccuracy", "validation", "baseline", "test", "testOpenings", "conditions", "iteration")
    found = {key: status[key] for key in keep}
    found["conditions"] = {entry["type"]: (entry["status"], entry["reason"]) for entry in found["conditions"]}
    found["steps"] = {entry["name"]: entry["attempt"] for entry in status["history"][0]["steps"]}
    return found | {"best": status["best"]["iteration"], "candidate": status["candidate"]["iteration"]}


@pytest.mark.parametrize(("status", "words"), REFUSED)
def test_refused(touched: Bed, status: Object, words: str) -> None:
    """The API server itself: with words that say what to do instead."""
    assert words in touch(touched, "fwr/untouched", status, check=False)


def test_damaged(touched: Bed, script: Stages) -> None:
    """What contradicts itself is said, nothing is built upon it, and it goes on once it is put back."""
    for name, (status, words) in DAMAGED.items():
        whole = touched.get(RUN, name)["status"]
        touch(touched, f"fwr/{name}", status)
        said = touched.until_condition(RUN, name, "Stalled", "StatusDamaged")
        assert words in said["message"] and "put it back" in said["message"]
        touch(touched, f"fwr/{name}", {key: whole[key] for key in ("current", "baseline")})
        touched.until_condition(RUN, name, "Reconciling", "Running")
        del script[(name, 1, "train")]
    script.pop(("untouched", 1, "train"), None)
    for name in DAMAGED:
        assert story(touched, name) == story(touched, "untouched")


def test_mended(touched: Bed, script: Stages) -> None:
    """Every other hand in status changes nothing of what a run finds out, and no Job is made twice."""
    for name, status in MENDED.items():
        touch(touched, f"fwr/{name}", status)
    for name in ("ready", "unready"):
        touched.until("its own conditions", lambda name=name: _types(touched, name) == ["Ready", "Reconciling"])
    for name in MENDED:
        script.pop((name, 1, "train"), None)
    for name in MENDED:
        assert story(touched, name) == story(touched, "untouched")
        assert len(touched.started((name, 1, "train"))) == 1
    for name in ("ready", "unready"):
        assert len([job for job in touched.jobs() if job["metadata"]["labels"]["flywheel.dev/owner"] == name]) == 8


def _types(bed: Bed, name: str) -> list[str]:
    return [entry["type"] for entry in bed.get(RUN, name)["status"].get("conditions") or []]


def test_after_the_end(touched: Bed, script: Stages) -> None:
    """An end is never taken back, and nothing else is written beside it for long."""
    script.pop(("untouched", 1, "train"), None)
    before = touched.until_completed("untouched")["status"]["conditions"]
    assert "status.endedAt stays" in touch(touched, "fwr/untouched", {"endedAt": None, "conditions": None}, check=False)
    touch(touched, "fwr/untouched", {"conditions": [*before, forged("Stalled")]})
    touched.until("its own conditions", lambda: touched.get(RUN, "untouched")["status"]["conditions"] == before)


def test_curriculum(touched: Bed) -> None:
    """A forged condition goes, and a revision that was taken away is prepared again."""
    ready = touched.get(CURRICULUM, "severity")["status"]
    touch(touched, "curr/severity", {"conditions": [forged("Ready", "False"), forged("Stalled")]})
    touched.until_condition(CURRICULUM, "severity", "Ready", "Prepared")
    assert touched.condition(CURRICULUM, "severity", "Stalled") is None
    touch(touched, "curr/severity", {"revision": None, "pools": None})
    touched.until("the revision", lambda: touched.get(CURRICULUM, "severity")["status"].get("revision"))
    status = touched.get(CURRICULUM, "severity")["status"]
    assert (status["revision"], status["pools"]) == (ready["revision"], ready["pools"])
    assert len(touched.jobs("prepare")) == 1
