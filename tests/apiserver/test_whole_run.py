"""A run from beginning to end on a real API server, with scripted pods and the operator's real rights."""

from __future__ import annotations

from collections import Counter

from bed_resources import curriculum, run

from conftest import Bed
from flywheel.controller.resources import CURRICULUM, JOB, RUN


def test_two_iterations(bed: Bed) -> None:
    """Two iterations to Completed; every step once; the budget of writes is kept; nothing is written afterwards."""
    operator = bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace))
    finished = bed.until_completed()
    status = finished["status"]
    assert [entry["number"] for entry in status["history"]] == [1, 2]
    assert status["best"]["iteration"] == 2 and status["candidate"]["iteration"] == 2
    assert status["curriculum"]["name"] == "abc123"
    assert bed.condition(RUN, "first", "Ready")["reason"] == "MaxIterations"
    steps = Counter(job["metadata"]["labels"]["flywheel.dev/step"] for job in bed.jobs())
    twice = dict.fromkeys(("exam", "answer", "evaluate", "train", "test"), 2)
    assert steps == {"prepare": 1, "validate": 3, "preflight": 1} | twice

    writes = bed.writes()
    assert {write["code"] for write in writes} <= {"200", "201"}, [w for w in writes if w["code"] not in ("200", "201")]
    count = Counter((write["verb"], write["resource"], write["sub"]) for write in writes)
    jobs = sum(steps.values())
    assert count[("create", "jobs", "")] == jobs
    statuses = sum(number for key, number in count.items() if key[2] == "status")
    assert statuses <= 3 * jobs, count
    assert count[("create", "events", "")] <= 3 * jobs
    bed.until("metrics of the run", lambda: _metric(operator, "flywheel_run_iteration", bed.namespace) == 2.0)

    idle = len(bed.writes())
    bed.patch(RUN, "first", {"suspend": True})  # after an end nothing is done; it is told of the new spec, once
    waits = ("--for=condition=Completed", "fwr/first", "--timeout=60s")
    bed.plane.kubectl("-n", bed.namespace, "wait", *waits)
    bed.until("listings", lambda: _metric(operator, "flywheel_cache_listings_total", "FlywheelRun") >= 6)
    assert len(bed.writes()) == idle + 1


def _metric(operator, name: str, label: str) -> float:
    return sum(
        sample.value
        for family in operator.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and label in sample.labels.values()
    )


def test_columns_and_words(bed: Bed) -> None:
    """kubectl get, wait and describe tell the story."""
    bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
    bed.plane.kubectl("-n", bed.namespace, "wait", "--for=condition=Completed", "fwr/first", "--timeout=240s")
    table = bed.plane.kubectl("-n", bed.namespace, "get", "curr,fwr")
    assert "MaxIterations" in table and "abc123" in table and "0.5500" in table
    told = bed.plane.kubectl("-n", bed.namespace, "describe", "fwr/first")
    for words in ("StepStarted", "StepCompleted", "NewBest", "Candidate", "MaxIterations", "proficiency 4 of 10"):
        assert words in told


def test_jobs_are_restricted(bed: Bed) -> None:
    """Our pods pass Pod Security `restricted`, hold no token, and see no more than their step needs."""
    bed.plane.kubectl("label", "namespace", bed.namespace, "pod-security.kubernetes.io/enforce=restricted")
    bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
    bed.until_completed()
    for job in bed.jobs():
        pod = job["spec"]["template"]["spec"]
        step, container = job["metadata"]["labels"]["flywheel.dev/step"], pod["containers"][0]
        assert pod["automountServiceAccountToken"] is False
        secrets = {entry["name"] for entry in container["env"] if "valueFrom" in entry}
        teaching = {"FLYWHEEL_TEACHER_API_KEY", "FLYWHEEL_TEACHER_HOSTS"}
        assert secrets == (teaching if step in ("preflight", "exam", "evaluate") else set())
        assert "memory" in container["resources"]["limits"]
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(paths) == len(set(paths))
        assert any("pools/test" in path for path in paths) == (step == "test")
        assert any("pools/validation" in path for path in paths) == (step == "validate")


def test_deleted_run(bed: Bed) -> None:
    """Deleting a run takes its Jobs and pods with it; the Curriculum stays; the operator forgets it."""
    from bed_node import DONE, HOLD

    bed.node.script = lambda request: HOLD if request.step == "exam" else DONE
    operator = bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace))
    bed.until("the exam", lambda: [name for name in bed.node.started if "-exam-" in name])
    bed.until("its figures", lambda: _metric(operator, "flywheel_run_iteration", bed.namespace) == 1.0)
    bed.plane.kubectl("-n", bed.namespace, "delete", "fwr/first", "--wait=false")
    bed.until(
        "only prepare left", lambda: {j["metadata"]["labels"]["flywheel.dev/step"] for j in bed.jobs()} == {"prepare"}
    )
    assert bed.get(CURRICULUM, "severity")
    bed.until("metrics gone", lambda: not _metric(operator, "flywheel_run_iteration", bed.namespace))
    assert not [write for write in bed.writes() if write["verb"] == "delete"]  # the garbage collector's work
    assert bed.api.get(JOB, bed.namespace, "nothing") is None
