"""Pods as the kubelet writes them, and what decisions are told of them."""

from __future__ import annotations

from typing import Any

import pytest

from flywheel.controller.observe_jobs import gone, job_record, job_view, pod_record


def pod(phase: str = "Running", state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    containers = [{"name": "sidecar", "state": {"running": {}}}, {"name": "step", "state": state or {}}]
    return {
        "metadata": {
            "name": "p", "uid": "u", "labels": {"batch.kubernetes.io/controller-uid": "j"},
            "creationTimestamp": "2026-11-21T04:00:00Z",
        },
        "status": {"phase": phase, "containerStatuses": containers, **status},
    }  # fmt: skip


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def sidecar(item: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    item["status"]["initContainerStatuses"] = [{"name": "sidecar", "state": state}]
    return item


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (pod("Running", {"running": {"startedAt": "2026-11-21T04:00:00Z"}}), {"started": True, "exit_code": None}),
        (pod("Running", {"running": {}}), {"started": True}),
        (pod("Succeeded", ended(0, "Completed", "{}")), {"started": True, "exit_code": 0, "message": "{}"}),
        (pod("Failed", ended(137, "OOMKilled")), {"terminated_reason": "OOMKilled", "disrupted": False}),
        (pod("Failed", ended(128, "StartError")), {"started": False}),
        (pod("Failed", ended(137, "ContainerStatusUnknown")), {"disrupted": True}),
        (pod("Failed", ended(143), reason="DeadlineExceeded"), {"deadline_exceeded": True, "disrupted": False}),
        (pod("Failed", ended(137), reason="Evicted"), {"disrupted": True}),
        (
            pod("Failed", ended(137), conditions=[{"type": "DisruptionTarget", "status": "True"}]),
            {"disrupted": True},
        ),
        (
            pod("Pending", {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}),
            {
                "started": False,
                "waiting_reason": "CreateContainerConfigError",
                "waiting_message": 'secret "x" not found',
            },
        ),
        (
            sidecar(
                pod("Pending", {"waiting": {"reason": "PodInitializing"}}), {"waiting": {"reason": "ErrImagePull"}}
            ),
            {"waiting_reason": "ErrImagePull", "waiting_sidecar": True},
        ),
        (
            sidecar(pod("Failed", ended(75, message="{}")), {"terminated": {"exitCode": 0}}),
            {"exit_code": 75, "message": "{}", "waiting_reason": ""},
        ),
        (
            pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]),
            {"unschedulable": "0/1 nodes"},
        ),
    ],
)
def test_pods(item: dict[str, Any], expected: dict[str, Any]) -> None:
    view = pod_record(item).view
    assert {name: getattr(view, name) for name in expected} == expected


def test_a_pod_deleted_by_somebody_was_disrupted() -> None:
    item = pod("Running", {"running": {}})
    item["metadata"]["deletionTimestamp"] = "2026-11-21T05:00:00Z"
    assert pod_record(item).view.disrupted
    assert gone(pod_record(pod())).finished


def test_a_pod_without_status() -> None:
    item = pod()
    del item["status"]
    record = pod_record(item)
    assert not record.view.started and not record.finished


def job(**fields: Any) -> dict[str, Any]:
    marks = {f"flywheel.dev/{name}": value for name, value in (("step", "exam"), ("iteration", "2"), ("attempt", "3"))}
    metadata = {"name": "job", "uid": "j", "labels": marks, "creationTimestamp": "2026-11-21T04:00:00Z"}
    return {"metadata": metadata | fields.pop("metadata", {}), **fields}


def test_jobs_take_their_newest_pod() -> None:
    old, new = pod(), pod("Running", {"running": {}})
    new["metadata"] |= {"uid": "u2", "creationTimestamp": "2026-11-21T04:00:05Z"}
    view = job_view(job_record(job()), [pod_record(new), pod_record(old)])
    assert (view.step, view.iteration, view.attempt, view.state) == ("exam", 2, 3, "Running")
    assert view.pod is not None and view.pod.uid == "u2"
    assert job_view(job_record(job()), []).state == "Pending"


@pytest.mark.parametrize(("made_from", "outdated"), [(None, False), ("3", True), ("4", False)])
def test_a_job_knows_the_spec_it_was_made_from(made_from: str | None, outdated: bool) -> None:
    found = job()
    found["metadata"]["labels"] |= {"flywheel.dev/generation": made_from} if made_from else {}
    assert job_view(job_record(found), [], generation=4).outdated == outdated


def test_a_job_ends_with_its_condition_not_before() -> None:
    criteria = {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}
    assert job_record(job(status=criteria)).ended is None
    for type_, state in (("Complete", "Succeeded"), ("Failed", "Failed")):
        assert job_record(job(status={"conditions": [{"type": type_, "status": "True"}]})).ended == state


def test_a_step_is_done_when_its_pod_is_and_has_failed_when_the_job_says_so() -> None:
    done, failed = pod_record(pod("Succeeded", ended(0, "Completed", "{}"))), pod_record(pod("Failed", ended(1)))
    assert job_view(job_record(job()), [done]).state == "Succeeded"
    assert job_view(job_record(job()), [gone(done)]).state == "Succeeded"
    assert job_view(job_record(job()), [failed]).state == "Running"
    assert job_view(job_record(job()), [pod_record(pod("Running", ended(0)))]).state == "Running"
    judged = job(status={"conditions": [{"type": "Failed", "status": "True"}]})
    assert job_view(job_record(judged), [failed]).state == "Failed"


def test_somebody_elses_job_with_our_label_is_refused() -> None:
    with pytest.raises(ValueError, match=r"flywheel\.dev/iteration"):
        job_record({"metadata": {"name": "x", "uid": "y", "labels": {"flywheel.dev/owner-uid": "z"}}})


def test_a_pods_time_and_gpus() -> None:
    begun, over = "2026-11-21T04:00:00Z", "2026-11-21T04:10:00Z"
    running = pod("Running", {"running": {"startedAt": begun}})
    limits = {"nvidia.com/gpu": "4", "nvidia.com/mig-1g.10gb": 2, "cpu": "500m", "example.com/gpu": "x"}
    running["spec"] = {"containers": [{"name": "step", "resources": {"limits": limits}}, {"name": "sidecar"}]}
    view = pod_record(running).view
    assert view.started_at is not None and view.started_at.isoformat() == "2026-11-21T04:00:00+00:00"
    assert (view.ended_at, view.gpus) == (None, 6)
    ended_pod = pod("Failed", {"terminated": {"exitCode": 1, "startedAt": begun, "finishedAt": over}})
    view = gone(pod_record(ended_pod)).view
    assert view.started_at is not None and view.ended_at is not None
    assert ((view.ended_at - view.started_at).total_seconds(), view.gpus) == (600, 0)
    lost = pod_record(pod("Failed", {"terminated": {"exitCode": 137, "startedAt": None, "finishedAt": None}})).view
    assert (lost.started_at, lost.ended_at) == (None, None)
