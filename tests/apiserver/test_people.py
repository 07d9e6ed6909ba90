"""People delete, suspend and stop things in the middle of a run: nothing is done twice, and nothing is lost.

One operator and one Curriculum for all of them; each has a run of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from bed_control_plane import ControlPlane
from bed_node import HOLD, Ending, Stage, Stages
from bed_resources import curriculum, run

from conftest import Bed, Object, made_bed
from flywheel.controller.client import Api
from flywheel.controller.resources import JOB, RUN

STAGES = (
    *((0, "validate"), (0, "preflight")),
    *((1, "exam"), (1, "answer"), (1, "evaluate"), (1, "train"), (1, "validate"), (1, "test")),
)
ONCE = {step for number, step in STAGES if number}
LINGERS = Ending(hold=True, stubborn=True)


@pytest.fixture(scope="module")
def script() -> Stages:
    """What the node does; a test adds what is to happen to its own run."""
    return Stages()


@pytest.fixture(scope="module")
def people(plane: ControlPlane, api: Api, script: Stages) -> Iterator[Bed]:
    """A namespace with an operator and a prepared Curriculum."""
    with made_bed(plane, api, "people") as bed:
        bed.node.script = script
        bed.operator()
        bed.apply(curriculum(bed.namespace))
        yield bed


def begin(bed: Bed, script: Stages, name: str, stage: tuple[int, str], ending: Ending = HOLD) -> tuple[Stage, str]:
    """A run of one iteration that is held in this step; the step, and its pod."""
    held = (name, *stage)
    script[held] = ending
    bed.apply(run(bed.namespace, name, 1))
    return held, bed.until_started(held)


def accepted(finished: Object) -> dict[str, int]:
    """Attempts that won, by step of the first iteration."""
    return {entry["name"]: entry["attempt"] for entry in finished["status"]["history"][0]["steps"]}


def finished_once(bed: Bed, name: str, **attempts: int) -> None:
    """Completed; each step was accepted once, at its first attempt or the one named, and no attempt was used up."""
    assert accepted(bed.until_completed(name)) == dict.fromkeys(ONCE, 1) | attempts
    starts = Counter(tuple(pod.split("-")[-5:-1]) for pod in bed.node.started if pod.startswith(f"{name}-"))
    assert set(starts.values()) == {1}, "no Job was made twice"


@pytest.mark.parametrize("cascade", ["background", "orphan"])
def test_job_deleted_while_its_pod_runs(people: Bed, script: Stages, cascade: str) -> None:
    """The next attempt begins when the pod is gone, not before; what the pod still finished is not done again."""
    name = f"job-{cascade}"
    held, pod = begin(people, script, name, (1, "train"), LINGERS)
    (job,) = people.attempts(held)
    people.plane.kubectl("-n", people.namespace, "delete", "job", job["metadata"]["name"], f"--cascade={cascade}")
    people.until_condition(RUN, name, "Reconciling", "CleaningUp")
    assert people.started(held) == [pod]
    del script[held]
    finished_once(people, name, **({"train": 3} if cascade == "background" else {}))
    reports = [entry["metadata"]["labels"].get("flywheel.dev/rereads") for entry in people.attempts(held)]
    assert reports == (["1", None] if cascade == "background" else ["1"])


@pytest.mark.parametrize("options", [[], ["--force", "--grace-period=0"]], ids=["asked", "forced"])
def test_pod_deleted(people: Bed, script: Stages, options: list[str]) -> None:
    """A deleted pod uses no attempt; the next begins."""
    name = f"pod-{len(options)}"
    held, pod = begin(people, script, name, (1, "answer"))
    people.plane.kubectl("-n", people.namespace, "delete", "pod", pod, *options)
    people.until_started(held, 2)
    assert people.get(RUN, name)["status"]["attempt"]["failures"] == 0
    del script[held]
    finished_once(people, name, answer=2)


def test_deleted_before_the_result_was_read(bed: Bed) -> None:
    """Job or pod of a finished step deleted while the operator is away: the result is read again, not made again."""
    script = bed.node.script = Stages()
    operator = bed.operator()
    bed.apply(curriculum(bed.namespace))
    job_gone, _ = begin(bed, script, "job-gone", (1, "exam"))
    pod_gone, pod = begin(bed, script, "pod-gone", (1, "train"))
    operator.stop()
    bed.operators.clear()
    script.clear()
    for held in (job_gone, pod_gone):
        bed.until("the end", lambda held=held: bed.attempts(held)[0]["status"].get("completionTime"))
    for what, which in (("job", bed.attempts(job_gone)[0]["metadata"]["name"]), ("pod", pod)):
        bed.plane.kubectl("-n", bed.namespace, "delete", what, which)
    bed.operator()
    for name, held in (("job-gone", job_gone), ("pod-gone", pod_gone)):
        finished_once(bed, name)
        assert bed.attempts(held)[-1]["metadata"]["labels"]["flywheel.dev/rereads"] == "1"


def test_suspended_and_resumed_in_every_step(people: Bed, script: Stages) -> None:
    """No Job while suspended; each step goes on with its next attempt, and none is used up."""
    script.update({("rests", *stage): HOLD for stage in STAGES})
    people.apply(run(people.namespace, "rests", 1))
    for stage in STAGES:
        held: Stage = ("rests", *stage)
        people.until_started(held)
        people.patch(RUN, "rests", {"suspend": True})
        people.until_condition(RUN, "rests", "Ready", "Suspended", "False")
        people.until("no Job", lambda held=held: not people.attempts(held))
        del script[held]
        people.patch(RUN, "rests", {"suspend": False})
    finished_once(people, "rests", **dict.fromkeys(ONCE, 2))


@pytest.mark.parametrize("how", ["stopped", "deleted", "deleted-foreground"])
def test_ended_by_people_in_every_step(people: Bed, script: Stages, how: str) -> None:
    """Stopped: Completed, its Job is deleted. Deleted: everything of it goes. Nothing more is started."""
    names = {f"{how}{number}{step}": (number, step) for number, step in STAGES}
    script.update({(name, *stage): HOLD for name, stage in names.items()})
    people.apply({"apiVersion": "v1", "kind": "List", "items": [run(people.namespace, name, 1) for name in names]})
    for name, stage in names.items():
        people.until_started((name, *stage))
    started = list(people.node.started)
    for name in names:
        if how == "stopped":
            people.patch(RUN, name, {"stop": {"now": True}})
        else:
            cascade = "foreground" if how.endswith("foreground") else "background"
            people.plane.kubectl("-n", people.namespace, "delete", "fwr", name, f"--cascade={cascade}", "--wait=false")
    for name, stage in names.items():
        if how == "stopped":
            people.until_condition(RUN, name, "Completed", "Stopped")
            people.until("no Job at work", lambda name=name, stage=stage: not people.attempts((name, *stage)))
        else:
            people.until("the run gone", lambda name=name: people.api.get(RUN, people.namespace, name) is None)
            people.until("its Jobs gone", lambda name=name: name not in owners(people))
    assert people.node.started == started


def owners(bed: Bed) -> set[str]:
    """Names of the owners of all Jobs."""
    found, _ = bed.api.list(JOB, bed.namespace)
    return {job["metadata"]["labels"]["flywheel.dev/owner"] for job in found}


def test_same_name_again_at_once(people: Bed, script: Stages) -> None:
    """A run that is deleted and made again begins anew, in folders of its own, whatever is left of the old one."""
    held, old = begin(people, script, "again", (1, "train"), LINGERS)
    manifest = json.dumps(run(people.namespace, "again", 1))
    before = people.get(RUN, "again")["metadata"]["uid"]
    people.plane.kubectl("-n", people.namespace, "delete", "fwr", "again")
    people.plane.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    uid = people.get(RUN, "again")["metadata"]["uid"]
    assert uid != before
    people.until("its own training", lambda: [pod for pod in people.started(held) if pod != old])
    del script[held]
    finished_once(people, "again")
    people.until(
        "the old Jobs gone",
        lambda: (
            {
                job["metadata"]["labels"]["flywheel.dev/owner-uid"]
                for job in people.jobs()
                if job["metadata"]["labels"]["flywheel.dev/owner"] == "again"
            }
            == {uid}
        ),
    )
