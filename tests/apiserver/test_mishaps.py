"""Steps that fail, wait or are lost: the right condition, the right number of attempts, and on it goes.

One operator, one node, a run for each mishap, all at once: waiting times pass together.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from bed_control_plane import ControlPlane
from bed_node import DONE, HOLD, Ending
from bed_resources import curriculum, run
from bed_results import failure

from conftest import Bed, made_bed
from flywheel.api.request import StepRequest
from flywheel.controller.client import Api
from flywheel.controller.resources import RUN

NO_SECRET = Ending(waiting=("CreateContainerConfigError", 'secret "teacher" not found'))
NO_IMAGE = Ending(waiting=("ImagePullBackOff", "Back-off pulling image"))
KEY_REFUSED = Ending(code=75, said=failure("TeacherKeyRefused", "the teacher refused the key: replace apiKey"))
MENDED = threading.Event()

ENDINGS: dict[tuple[str, str], Ending] = {
    ("crashing", "train"): Ending(code=1, said=failure("StepFailed", "ValueError: see the log of the step's pod")),
    ("hungry", "train"): Ending(code=137, reason="OOMKilled"),
    ("bad-input", "evaluate"): Ending(code=64, said=failure("BadInput", "the exam is empty: raise exam.questions")),
    ("slow", "train"): Ending(code=143, pod_reason="DeadlineExceeded"),
}
MENDABLE: dict[tuple[str, str], Ending] = {
    ("no-secret", "exam"): NO_SECRET,
    ("no-image", "answer"): NO_IMAGE,
    ("key-refused", "exam"): KEY_REFUSED,
}


def _script(request: StepRequest) -> Ending:
    about = (request.owner, request.step)
    if about == ("evicted", "train") and request.attempt == 1:
        return Ending(code=137, pod_reason="Evicted")
    if about in MENDABLE and not MENDED.is_set():
        return MENDABLE[about]
    return ENDINGS.get(about, DONE)


@pytest.fixture(scope="module")
def mishaps(plane: ControlPlane, api: Api) -> Iterator[Bed]:
    """All runs, started together."""
    MENDED.clear()
    with made_bed(plane, api, "mishaps") as bed:
        bed.node.script = _script
        bed.operator()
        names = {name for name, _ in (*ENDINGS, *MENDABLE)} | {"evicted"}
        twice = {"defaults": {"attempts": 2}}
        bed.apply(curriculum(bed.namespace), *(run(bed.namespace, name, 1, jobs=twice) for name in sorted(names)))
        yield bed


@pytest.mark.parametrize(
    ("name", "reason", "step", "jobs"),
    [
        ("crashing", "AttemptsExhausted", "train", 2),
        ("hungry", "OutOfMemory", "train", 2),
        ("slow", "DeadlineExceeded", "train", 2),
        ("bad-input", "BadInput", "evaluate", 1),
    ],
)
def test_ended_badly(mishaps: Bed, name: str, reason: str, step: str, jobs: int) -> None:
    """Failed, Stalled and not Ready, with the reason; no more attempts than allowed; nothing after it."""
    for type_, status in (("Failed", "True"), ("Stalled", "True"), ("Ready", "False")):
        mishaps.until_condition(RUN, name, type_, reason, status)
    assert mishaps.condition(RUN, name, "Reconciling") is None
    assert len(_jobs(mishaps, name, step)) == jobs
    if name == "bad-input":
        assert mishaps.condition(RUN, name, "Failed")["message"] == "the exam is empty: raise exam.questions"


def test_evicted(mishaps: Bed) -> None:
    """An eviction uses no attempt."""
    done = mishaps.until_completed("evicted")
    assert len(_jobs(mishaps, "evicted", "train")) == 2
    trained = next(step for step in done["status"]["history"][0]["steps"] if step["name"] == "train")
    assert trained["attempt"] == 2


def test_blocked_then_mended(mishaps: Bed) -> None:
    """Missing Secret, missing image, refused key: Stalled with the reason, then it goes on; no attempt was used."""
    expected = {"no-secret": "TeacherSecret", "no-image": "ImageUnavailable", "key-refused": "TeacherKeyRefused"}
    for name, reason in expected.items():
        mishaps.until_condition(RUN, name, "Stalled", reason)
        assert mishaps.condition(RUN, name, "Ready")["status"] == "False"
        assert mishaps.condition(RUN, name, "Reconciling") is None
    MENDED.set()
    for name in expected:
        done = mishaps.until_completed(name)
        assert mishaps.condition(RUN, name, "Stalled") is None
        assert done["status"]["history"][0]["number"] == 1
    assert len(_jobs(mishaps, "no-secret", "exam")) == 1


def test_suspend_resume_and_stop(bed: Bed) -> None:
    """Suspending deletes the running Job and counts no attempt; resuming makes the next; stop.now ends the run."""
    gate = {"exam": HOLD}
    bed.node.script = lambda request: gate.get(request.step, DONE)
    bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace))
    bed.until("the exam", lambda: [name for name in bed.node.started if "-exam-" in name])
    bed.patch(RUN, "first", {"suspend": True})
    bed.until_condition(RUN, "first", "Ready", "Suspended", "False")
    bed.until("no exam", lambda: not bed.jobs("exam"))
    for type_ in ("Reconciling", "Stalled"):
        assert bed.condition(RUN, "first", type_) is None
    bed.patch(RUN, "first", {"suspend": False})
    bed.until("the exam again", lambda: [job for job in bed.jobs("exam") if _attempt(job) == 2])
    assert bed.get(RUN, "first")["status"]["attempt"]["failures"] == 0
    bed.patch(RUN, "first", {"stop": {"now": True}})
    bed.until_condition(RUN, "first", "Completed", "Stopped")
    bed.until("no exam", lambda: not bed.jobs("exam"))


def test_job_conflict(bed: Bed) -> None:
    """Somebody else's Job under our name: Stalled with a reason, no loop; it goes on when that Job is gone."""
    bed.apply(curriculum(bed.namespace))
    bed.apply(run(bed.namespace))
    uid = bed.get(RUN, "first")["metadata"]["uid"]
    name = f"first-{uid[:5]}-0-validate-1"
    bed.plane.kubectl("-n", bed.namespace, "create", "job", name, "--image=registry.example/other:1")
    bed.operator()
    bed.until_condition(RUN, "first", "Stalled", "JobConflict")
    refused = Counter(write["name"] for write in bed.writes() if write["code"] == "409")
    assert refused[name] + refused[""] <= 3
    bed.plane.kubectl("-n", bed.namespace, "delete", "job", name)
    bed.patch(RUN, "first", {"stop": {"maxIterations": 1}})  # a change of spec is looked at once
    bed.until_completed()


def _jobs(bed: Bed, owner: str, step: str) -> list[object]:
    return [job for job in bed.jobs(step) if job["metadata"]["labels"]["flywheel.dev/owner"] == owner]


def _attempt(job: dict[str, dict[str, dict[str, str]]]) -> int:
    return int(job["metadata"]["labels"]["flywheel.dev/attempt"])
