"""How a Job's end is classed, and what an unfinished Job says it is waiting for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import NOW

from flywheel.api.result import StepError, StepResult
from flywheel.loop.exits import classify
from flywheel.loop.observed import JobView, PodView
from flywheel.loop.waiting import NO_POD_AFTER_SECONDS, waiting_state

CONFIG = "CreateContainerConfigError"
POD = PodView(name="pod-x", uid="1")
BEGUN = replace(POD, started=True)


def job(pod: PodView | None, step: str = "train") -> JobView:
    return JobView("job", "1", step, 1, 1, NOW, "Pending", pod=pod)


def said(reason: str) -> str:
    return StepResult(error=StepError(reason=reason, message="in its own words")).to_message()


@pytest.mark.parametrize(
    ("pod", "kind", "reason"),
    [
        (None, "NeverStarted", "PodRefused"),
        (POD, "NeverStarted", "PodRefused"),
        (replace(BEGUN, exit_code=64), "BadInput", "BadInput"),
        (replace(BEGUN, exit_code=75), "TryLater", "TryLater"),
        (replace(BEGUN, exit_code=75, message=said("TeacherKeyRefused")), "TryLater", "TeacherKeyRefused"),
        (replace(BEGUN, exit_code=75, message=said("SourceMissing")), "TryLater", "SourceMissing"),
        (replace(BEGUN, exit_code=75, message=said("OfALaterVersion")), "TryLater", "TryLater"),
        (replace(BEGUN, exit_code=64, message=said("SchemaMismatch")), "BadInput", "SchemaMismatch"),
        (replace(BEGUN, exit_code=1, message=said("TeacherReplies")), "Failure", "TeacherReplies"),
        (replace(BEGUN, exit_code=137), "Failure", "OutOfMemory"),
        (replace(BEGUN, exit_code=1, terminated_reason="OOMKilled"), "Failure", "OutOfMemory"),
        (replace(BEGUN, exit_code=1), "Failure", "StepFailed"),
        (replace(BEGUN, exit_code=143), "Failure", "StepFailed"),
        (replace(BEGUN, exit_code=None), "Failure", "StepFailed"),
        (replace(BEGUN, exit_code=143, deadline_exceeded=True), "Failure", "DeadlineExceeded"),
        # Whatever it ended with, an eviction is no failure of the step.
        (replace(BEGUN, exit_code=137, disrupted=True), "Disruption", "Disrupted"),
        (replace(BEGUN, exit_code=64, disrupted=True), "Disruption", "Disrupted"),
        (replace(POD, disrupted=True), "Disruption", "Disrupted"),
    ],
)
def test_class_of_an_end(pod: PodView | None, kind: str, reason: str) -> None:
    found = classify(job(pod))
    assert (found.kind, found.reason) == (kind, reason)
    assert found.message


def test_a_step_is_quoted_and_a_broken_message_is_not() -> None:
    assert classify(job(replace(BEGUN, exit_code=64, message=said("X")))).message == "in its own words"
    broken = classify(job(replace(BEGUN, exit_code=1, message="Traceback: secret 123")))
    assert "secret" not in broken.message and "kubectl logs" in broken.message


@pytest.mark.parametrize(
    ("pod", "kind", "reason", "words"),
    [
        (POD, "working", "WaitingForPod", "start"),
        (BEGUN, "working", "Running", "pod-x"),
        (replace(BEGUN, disrupted=True), "working", "Disrupted", "kubectl delete pod --force pod-x"),
        (replace(POD, waiting_reason="ErrImagePull"), "blocked", "ImageUnavailable", "registry"),
        (replace(POD, waiting_reason="ImagePullBackOff"), "blocked", "ImageUnavailable", "registry"),
        (
            replace(POD, waiting_reason="CreateContainerConfigError", waiting_message='secret "teacher" not found'),
            "blocked",
            "TeacherSecret",
            "hosts",
        ),
        (
            replace(POD, waiting_reason=CONFIG, waiting_message='secret "x" not found', waiting_sidecar=True),
            "blocked",
            "WorkspaceSecret",
            "secretAccessKey",
        ),
        (
            replace(POD, waiting_reason=CONFIG, waiting_message='configmap "x" not found', waiting_sidecar=True),
            "blocked",
            "WorkspaceSecret",
            "caBundleRef",
        ),
        (replace(POD, waiting_reason="ErrImagePull", waiting_sidecar=True), "blocked", "ImageUnavailable", "registry"),
        (replace(POD, waiting_reason="RunContainerError"), "blocked", "PodRefused", "kubectl describe pod"),
        (replace(POD, waiting_reason="ContainerCreating"), "working", "WaitingForPod", "start"),
        (
            replace(POD, unschedulable='persistentvolumeclaim "models" not found'),
            "blocked",
            "VolumeUnavailable",
            "pvc",
        ),
        (
            replace(POD, unschedulable="0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
            "blocked",
            "Unschedulable",
            "nvidia.com/gpu",
        ),
        (replace(POD, unschedulable="1 node(s) had untolerated taint"), "blocked", "Unschedulable", "taints"),
        (replace(POD, unschedulable="didn't match Pod's node affinity/selector"), "blocked", "Unschedulable", "labels"),
        (replace(POD, unschedulable="0/1 nodes are available"), "blocked", "Unschedulable", "kubectl describe pod"),
    ],
)
def test_what_a_job_waits_for(pod: PodView, kind: str, reason: str, words: str) -> None:
    state = waiting_state(job(pod), NOW)
    assert (state.kind, state.reason) == (kind, reason)
    assert words in state.message


def test_a_secret_of_serving_pods_is_said_by_its_own_name() -> None:
    lacking = replace(POD, waiting_reason=CONFIG, waiting_message="couldn't find key value in Secret review/x")
    state = waiting_state(replace(job(lacking), step="verify"), NOW)
    assert (state.kind, state.reason) == ("blocked", "TargetSecret") and "credentialsRef" in state.message


@given(st.text(max_size=200), st.text(max_size=200))
def test_foreign_texts_are_never_copied(message: str, scheduler: str) -> None:
    marked = replace(POD, waiting_reason="CreateContainerError", waiting_message=f"{message} hunter2")
    assert "hunter2" not in waiting_state(job(marked), NOW).message
    assert "hunter2" not in waiting_state(job(replace(POD, unschedulable=f"{scheduler} hunter2")), NOW).message


@given(st.floats(0, 10_000))
def test_a_job_that_makes_no_pod_is_blocked_after_a_minute(seconds: float) -> None:
    state = waiting_state(job(None), NOW + timedelta(seconds=seconds))
    assert (state.kind == "blocked") == (seconds >= NO_POD_AFTER_SECONDS) or abs(seconds - 60) < 1e-3
