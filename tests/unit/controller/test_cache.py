"""The cache: older news never wins, deletions are found, the end state does not depend on the order of events."""

from __future__ import annotations

import itertools
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flywheel.controller import labels
from flywheel.controller.cache import Cache, readable
from flywheel.controller.observe_jobs import JOB_NAME, JOB_UID, left_behind
from flywheel.controller.resources import JOB, POD, RUN


def run(name: str, uid: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version), "managedFields": [1]}
    return {"metadata": metadata, "spec": {"version": version}}


def job(uid: str, version: int, owner: str = "owner") -> dict[str, Any]:
    marks = {labels.OWNER_UID: owner, labels.STEP: "exam", labels.ITERATION: "1", labels.ATTEMPT: "1"}
    metadata = {
        "name": f"job-{uid}", "namespace": "n", "uid": uid, "resourceVersion": str(version), "labels": marks,
        "ownerReferences": [{"uid": owner, "controller": True}],
    }  # fmt: skip
    return {"metadata": metadata}


def pod(uid: str, version: int, job_uid: str, owner: str = "owner", deleting: bool = False) -> dict[str, Any]:
    marks = {labels.OWNER_UID: owner, JOB_UID: job_uid, JOB_NAME: f"job-{job_uid}"}
    marks |= {labels.STEP: "exam", labels.ITERATION: "1", labels.ATTEMPT: "1"}
    metadata = {"name": f"pod-{uid}", "namespace": "n", "uid": uid, "resourceVersion": str(version), "labels": marks}
    metadata |= {"deletionTimestamp": "2026-11-21T04:00:00Z"} if deleting else {}
    return {"metadata": metadata, "status": {"phase": "Running"}}


@given(st.permutations([1, 2, 3, 4]), st.booleans())
def test_any_order_of_events_gives_the_newest(order: list[int], deleted: bool) -> None:
    cache = Cache()
    for number, version in enumerate(order):
        cache.update(RUN, run("a", "u", version))
        if deleted and number == 1:
            cache.remove(RUN, "u")
    entry = cache.get(RUN, "n", "a")
    assert (entry is None) == deleted
    if entry is not None:
        assert entry.value["spec"]["version"] == 4 and "managedFields" not in entry.value["metadata"]


def test_a_listing_finds_lost_deletions_but_not_what_is_newer() -> None:
    cache = Cache()
    for name, uid, version in (("old", "1", 5), ("kept", "2", 6), ("made-after", "3", 12)):
        cache.update(RUN, run(name, uid, version))
    listed = list(readable(RUN, [run("kept", "2", 6), run("missed", "4", 9)]))
    changed = cache.replace(RUN, listed, version=10, namespace=None)
    assert {entry.name for entry in changed} == {"old", "missed"}
    assert {entry.name for entry in cache.all(RUN)} == {"kept", "missed", "made-after"}
    assert cache.replace(RUN, listed, version=11, namespace=None) == []


def test_a_listing_of_one_namespace_leaves_others_alone() -> None:
    cache = Cache()
    cache.update(RUN, run("a", "1", 1))
    assert cache.replace(RUN, [], version=9, namespace="other") == []
    assert cache.get(RUN, "n", "a") is not None


def test_a_new_object_of_the_same_name() -> None:
    cache = Cache()
    cache.update(RUN, run("a", "old", 1))
    cache.update(RUN, run("a", "new", 5))
    cache.remove(RUN, "old")
    entry = cache.get(RUN, "n", "a")
    assert entry is not None and entry.uid == "new"


def test_what_a_deleted_pod_said_is_kept_while_its_job_is_there() -> None:
    cache = Cache()
    cache.update(JOB, job("j", 1))
    cache.update(POD, pod("p", 2, "j"))
    cache.remove(POD, "p")
    (kept,) = cache.pods_of("owner")
    assert kept.finished and kept.view.disrupted
    assert cache.replace(POD, [], version=9, namespace=None) == []
    cache.remove(JOB, "j")
    assert cache.pods_of("owner") == [] and cache.jobs_of("owner") == []


def test_a_running_pod_outlives_its_job_in_the_cache() -> None:
    """Its Job was deleted by hand: until the pod is gone the next attempt waits."""
    for phase, lost in itertools.product(("Running", "Failed"), (False, True)):
        cache = Cache()
        cache.update(JOB, job("j", 1))
        cache.update(POD, pod("p", 2, "j"))
        cache.remove(JOB, "j")
        (left,) = left_behind(cache.jobs_of("owner"), cache.pods_of("owner"))
        assert (left.step, left.iteration, left.attempt, left.deleting) == ("exam", 1, 1, True)
        cache.update(POD, pod("p", 3, "j", deleting=True) | {"status": {"phase": phase}})
        assert left_behind(cache.jobs_of("owner"), cache.pods_of("owner")) == ([left] if phase == "Running" else [])
        cache.replace(POD, [], version=9, namespace=None) if lost else cache.remove(POD, "p")
        assert cache.pods_of("owner") == []


def test_a_pod_of_no_job_holds_nothing_up() -> None:
    """Somebody's copy of a pod of ours, to look at it."""
    copied = pod("p", 1, "")
    cache = Cache()
    cache.update(POD, copied)
    assert left_behind(cache.jobs_of("owner"), cache.pods_of("owner")) == []


def test_jobs_count_only_for_the_object_that_controls_them() -> None:
    cache = Cache()
    stolen = job("j", 1)
    stolen["metadata"]["ownerReferences"] = []
    cache.update(JOB, stolen)
    assert cache.jobs_of("owner") == []


@given(st.integers(0, 2**32))
def test_indexes_agree_after_anything(seed: int) -> None:
    """Random news of jobs and pods: what the indexes give is what the entries are."""
    chance, cache = random.Random(seed), Cache()
    for version in range(1, 40):
        uid, owner = str(chance.randrange(4)), str(chance.randrange(2))
        action = chance.randrange(4)
        if action == 0:
            cache.update(JOB, job(f"j{uid}", version, owner))
        elif action == 1:
            cache.update(POD, pod(f"p{uid}-{version}", version, f"j{uid}", owner))
        elif action == 2:
            cache.remove(JOB, f"j{uid}")
        else:
            cache.remove(POD, f"p{uid}-{version - 1}")
    for kind, listed in ((JOB, cache.jobs_of), (POD, cache.pods_of)):
        by_index = len(listed("0")) + len(listed("1"))
        assert by_index == len(cache.all(kind))
