"""Specs changed in the middle of a run take effect when DESIGN 4 says so; odd names and lost namespaces do no harm.

What may never change, or no more, is refused by the API server: test_crds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from bed_control_plane import ControlPlane
from bed_node import HOLD, Ending, Stages, request_of
from bed_resources import curriculum, run

from conftest import Bed, Object, made_bed
from flywheel.api.request import StepRequest
from flywheel.controller.client import Api
from flywheel.controller.resources import CURRICULUM, JOB, RUN

LONGEST = ".".join(["a-name-of-many-letters"] * 11) + "s"
NAME_CHARACTERS = 253  # as long as a name may be
NAME_MAX = 255  # of a file system
EVICTED = Ending(code=137, disrupted=True)
NO_IMAGE = Ending(waiting=("ImagePullBackOff", "Back-off pulling image"))
FULL_NODES = Ending(unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
NO_SECRET = Ending(waiting=("CreateContainerConfigError", 'secret "teacher" not found'))


@pytest.fixture(scope="module")
def script() -> Stages:
    """What the node does; a test adds what is to happen to its own run."""
    return Stages()


@pytest.fixture(scope="module")
def edits(plane: ControlPlane, api: Api, script: Stages) -> Iterator[Bed]:
    """A namespace with an operator and a prepared Curriculum."""
    with made_bed(plane, api, "edits") as bed:
        bed.node.script = script
        bed.operator()
        bed.apply(curriculum(bed.namespace))
        yield bed


def container(job: Object) -> Object:
    """The container of a Job's pod."""
    return job["spec"]["template"]["spec"]["containers"][0]


def test_next_attempt(edits: Bed, script: Stages) -> None:
    """Image, resources and Secret: the running attempt goes on with the old ones, the next one has the new."""
    exam, train = ("tuned", 1, "exam"), ("tuned", 1, "train")
    script.update({exam: HOLD, train: HOLD})
    edits.apply(run(edits.namespace, "tuned", 1))
    edits.until_started(exam)
    edits.patch(RUN, "tuned", {"teacher": {"secretRef": {"name": "other"}}})
    script[exam] = EVICTED
    edits.until_started(exam, 2)
    secrets = [[entry["valueFrom"]["secretKeyRef"]["name"] for entry in container(job)["env"] if "valueFrom" in entry]
               for job in edits.attempts(exam)]  # fmt: skip
    assert secrets == [["teacher"] * 2, ["other"] * 2]
    del script[exam]
    edits.until_started(train)
    limits = {"name": "train", "image": "registry.example/other:2", "resources": {"limits": {"memory": "9Gi"}}}
    edits.patch(RUN, "tuned", {"jobs": {"steps": [limits | {"timeout": "90m"}]}})
    script[train] = EVICTED
    edits.until_started(train, 2)
    del script[train]
    edits.until_completed("tuned")
    first, second = edits.attempts(train)
    assert container(first)["image"] == "registry.example/trainer:1"
    assert container(second)["image"] == "registry.example/other:2"
    assert container(second)["resources"]["limits"]["memory"] == "9Gi"
    assert second["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 5400


MENDED_BY_SPEC = {
    "typo": (NO_IMAGE, "ImageUnavailable", {"jobs": {"defaults": {"image": "registry.example/right:1"}}}),
    "greedy": (FULL_NODES, "Unschedulable", {"jobs": {"defaults": {"resources": {"requests": {"cpu": "1"}}}}}),
    "keyless": (NO_SECRET, "TeacherSecret", {"teacher": {"secretRef": {"name": "other"}}}),
}


def test_mended_by_its_spec(edits: Bed, script: Stages) -> None:
    """A pod that cannot start is made anew once the spec was changed, and no attempt is used."""

    def first_cannot_start(request: StepRequest) -> Ending:
        trouble = MENDED_BY_SPEC.get(request.owner)
        held = trouble is not None and (request.step, request.attempt) == ("exam", 1)
        return trouble[0] if trouble is not None and held else script(request)

    edits.node.script = first_cannot_start
    one = {"attempts": 1}
    edits.apply(*(run(edits.namespace, name, 1, jobs={"defaults": one}) for name in MENDED_BY_SPEC))
    for name, (_, reason, mend) in MENDED_BY_SPEC.items():
        assert "step exam" in edits.until_condition(RUN, name, "Stalled", reason)["message"]
        edits.patch(RUN, name, mend)
    for name in MENDED_BY_SPEC:
        steps = edits.until_completed(name)["status"]["history"][0]["steps"]
        assert {entry["name"] for entry in steps if entry["attempt"] == 2} == {"exam"}


def test_next_decision(edits: Bed, script: Stages) -> None:
    """Fewer iterations than planned: the run ends with the one at work. More: it goes on."""
    script.update({("less", 1, "train"): HOLD, ("more", 1, "train"): HOLD})
    edits.apply(run(edits.namespace, "less", 5), run(edits.namespace, "more", 1))
    for name, most in (("less", 1), ("more", 2)):
        edits.until_started((name, 1, "train"))
        edits.patch(RUN, name, {"stop": {"maxIterations": most}})
        del script[(name, 1, "train")]
    for name, most in (("less", 1), ("more", 2)):
        status = edits.until_completed(name)["status"]
        assert [entry["number"] for entry in status["history"]] == list(range(1, most + 1))


def test_curriculum_changed_and_deleted(bed: Bed) -> None:
    """A run stays with the revision that it began with; one that begins later takes the new one."""
    script = bed.node.script = Stages({("old", 1, "exam"): HOLD, ("old", 1, "train"): HOLD})
    bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, "old", 1))
    bed.until_started(("old", 1, "exam"))
    bed.patch(CURRICULUM, "severity", {"task": {"instructions": "Rate it anew."}})
    bed.until("the new revision", lambda: bed.get(CURRICULUM, "severity")["status"]["revision"]["name"] == "abc123-2")
    del script[("old", 1, "exam")]
    bed.apply(run(bed.namespace, "new", 1))
    bed.until_started(("old", 1, "train"))
    bed.until_completed("new")
    bed.plane.kubectl("-n", bed.namespace, "delete", "curr", "severity")
    bed.until_condition(RUN, "old", "Stalled", "CurriculumNotFound")
    assert len(bed.attempts(("old", 1, "train"))) == 1, "what runs goes on"
    bed.apply(curriculum(bed.namespace))
    del script[("old", 1, "train")]
    bed.until_completed("old")
    for name, revision in (("old", "abc123"), ("new", "abc123-2")):
        assert bed.get(RUN, name)["status"]["curriculum"]["name"] == revision
        assert {path.rsplit("/", 1)[-1] for path in _curricula(bed, name)} == {revision}


def _curricula(bed: Bed, name: str) -> set[str]:
    jobs = [job for job in bed.jobs() if job["metadata"]["labels"]["flywheel.dev/owner"] == name]
    inputs = [entry for job in jobs for entry in request_of({"spec": job["spec"]["template"]["spec"]}).inputs]
    return {entry.path for entry in inputs if entry.name == "curriculum"}


def test_longest_names(bed: Bed) -> None:
    """253 characters with dots, for every resource: Jobs, labels, events and folders have room for them."""
    bed.operator()
    bed.apply(curriculum(bed.namespace, LONGEST), run(bed.namespace, LONGEST, 1, curriculumRef={"name": LONGEST}))
    assert len(LONGEST) == NAME_CHARACTERS
    bed.until_completed(LONGEST)
    folders = [mount.get("subPath", "") for job in bed.jobs() for mount in container(job)["volumeMounts"]]
    assert max(len(part) for folder in folders for part in folder.split("/")) <= NAME_MAX
    assert "MaxIterations" in bed.plane.kubectl("-n", bed.namespace, "get", "events.events.k8s.io")


def test_namespace_deleted(plane: ControlPlane, api: Api, bed: Bed) -> None:
    """A run whose namespace goes takes nothing with it: others go on, and so does a namespace of that name."""
    with made_bed(plane, api, "doomed") as doomed:
        bed.node.script = doomed.node.script = Stages({("first", 1, "train"): HOLD})
        operator = bed.operator(others=(doomed.namespace,))
        for each in (bed, doomed):
            each.apply(curriculum(each.namespace), run(each.namespace, "first", 1))
        for each in (bed, doomed):
            each.until_started(("first", 1, "train"))
        plane.kubectl("delete", "namespace", doomed.namespace, "--timeout=120s")
        bed.node.script.clear()
        bed.until_completed()
        plane.kubectl("create", "namespace", doomed.namespace)
        doomed.apply(curriculum(doomed.namespace), run(doomed.namespace, "first", 1))
        doomed.until_completed()
        counted = Counter(job["metadata"]["labels"]["flywheel.dev/step"] for job in doomed.jobs())
        assert set(counted.values()) == {1, 2} and counted["validate"] == 2
        assert operator.health.live() == "" and api.get(JOB, doomed.namespace, "nothing") is None
