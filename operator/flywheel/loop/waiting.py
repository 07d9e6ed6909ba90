"""What an unfinished Job is waiting for, in words that say what to do. Waiting is not failing: nothing is used up.

The kubelet's and scheduler's texts are matched, never copied: they may hold anything.
"""

from __future__ import annotations

import re
from datetime import datetime

from flywheel.api.conditions import Reason
from flywheel.api.jobs import QUEUE_LABEL
from flywheel.loop.observed import JobView, PodView
from flywheel.loop.state import State

NO_POD_AFTER_SECONDS = 60
_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_REFUSED = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_NAMED = re.compile(r"secret|configmap", re.IGNORECASE)
_SECRETS = {"judge": "a Secret of spec.evaluation"}
_OF_SOURCES = {"prepare": ", or of a source's dataset.s3.secretRef,"}
_SCHEDULER = (
    (
        re.compile(r"Insufficient ([A-Za-z0-9./-]*[A-Za-z0-9])"),
        "no node has enough {} free: it goes on when one has; or ask for less in jobs.steps[].resources",
    ),
    (re.compile(r"untolerated taint"), "the nodes have taints that the pod does not tolerate"),
    (re.compile(r"node affinity/selector|node selector"), "no node has the labels of jobs.nodeSelector"),
)


def starting(step: str, job_name: str) -> State:
    """From the Job's creation until its step begins: one state, so that the steps in between write nothing."""
    return State("working", Reason.WAITING_FOR_POD, f"step {step}: Job {job_name} waits for its pod to start")


def waiting_state(job: JobView, now: datetime) -> State:
    """The state of a resource whose Job is Pending or Running."""
    pod = job.pod
    if job.suspended_since is not None:
        return _queued(job, job.suspended_since)
    if pod is None or job.stopped:
        if seconds_until_missed(job, now) > 0:
            return starting(job.step, job.name)
        return State(
            "blocked",
            Reason.POD_REFUSED,
            f"step {job.step}: Job {job.name} could make no pod (quota or admission): see kubectl describe job",
        )
    if pod.started and pod.disrupted:
        words = (
            f"step {job.step}: pod {pod.name} is evicted, deleted or on a lost node; the next attempt begins when it is"
            f" gone (from a lost node only by kubectl delete pod --force {pod.name})"
        )
        return State("working", Reason.DISRUPTED, words)
    if pod.started:
        return State("working", Reason.RUNNING, f"step {job.step}, attempt {job.attempt}, runs in pod {pod.name}")
    return _not_started(job, pod)


def seconds_until_missed(job: JobView, now: datetime) -> float:
    """How long a Job that was made, or let go on, may have no pod before something is wrong."""
    since = [job.created_at, job.resumed_at, job.pod.ended_at if job.pod is not None else None]
    return NO_POD_AFTER_SECONDS - (now - max(moment for moment in since if moment is not None)).total_seconds()


def _queued(job: JobView, since: datetime) -> State:
    begin = f"step {job.step}: Job {job.name}"
    if job.queue:
        words = (
            f"{begin} waits in queue {job.queue} since {since.isoformat()}; what for, say kubectl get workloads and"
            f" kubectl describe localqueue {job.queue}. Waiting uses up no attempt and no budget"
        )
    else:
        words = (
            f"{begin} is suspended since {since.isoformat()} and names no queue: where a queue suspends all Jobs, set"
            f" spec.queueName or the label {QUEUE_LABEL} in spec.jobs.defaults.labels; where a person did, kubectl"
            f' patch job {job.name} -p \'{{"spec":{{"suspend":false}}}}\''
        )
    return State("working", Reason.QUEUED, words)


def _not_started(job: JobView, pod: PodView) -> State:
    if pod.waiting_reason in _IMAGE:
        return State(
            "blocked",
            Reason.IMAGE_UNAVAILABLE,
            f"step {job.step}: the image cannot be pulled ({pod.waiting_reason}): check jobs image, registry and"
            " credentials",
        )
    if pod.waiting_reason in _REFUSED and pod.waiting_sidecar and _NAMED.search(pod.waiting_message):
        return State(
            "blocked",
            Reason.WORKSPACE_SECRET,
            f"step {job.step}: the Secret of workspace.s3.secretRef{_OF_SOURCES.get(job.step, '')} is missing or lacks"
            " accessKeyId, secretAccessKey or hosts, or the ConfigMap of caBundleRef its key: mend it",
        )
    if pod.waiting_reason in _REFUSED and "secret" in pod.waiting_message.lower() and job.step == "fetch":
        return State(
            "blocked",
            Reason.HUB_TOKEN,
            "step fetch: the Secret of spec.student.model.hub.tokenSecretRef is missing or lacks hubToken: mend it",
        )
    if pod.waiting_reason in _REFUSED and "secret" in pod.waiting_message.lower() and job.step == "verify":
        return State(
            "blocked",
            Reason.TARGET_SECRET,
            "step verify: the Secret of the target's credentialsRef is missing or lacks a key: mend it",
        )
    if pod.waiting_reason in _REFUSED and "secret" in pod.waiting_message.lower():
        return State(
            "blocked",
            Reason.TEACHER_SECRET,
            f"step {job.step}: {_SECRETS.get(job.step, 'the Secret of spec.teacher.secretRef')} is missing or lacks"
            " apiKey or hosts: mend it",
        )
    if pod.waiting_reason in _REFUSED:
        return State(
            "blocked",
            Reason.POD_REFUSED,
            f"step {job.step}: the node cannot start pod {pod.name} ({pod.waiting_reason}): see kubectl describe pod",
        )
    if pod.unschedulable:
        return _unschedulable(job, pod)
    return starting(job.step, job.name)


def _unschedulable(job: JobView, pod: PodView) -> State:
    text = pod.unschedulable.lower()
    if "persistentvolumeclaim" in text or "unbound" in text or "volume" in text:
        return State(
            "blocked",
            Reason.VOLUME_UNAVAILABLE,
            f"step {job.step}: a PersistentVolumeClaim of the pod is missing or not bound: see kubectl get pvc",
        )
    for pattern, words in _SCHEDULER:
        if match := pattern.search(pod.unschedulable):
            return State("blocked", Reason.UNSCHEDULABLE, f"step {job.step}: {words.format(*match.groups())}")
    return State("blocked", Reason.UNSCHEDULABLE, f"step {job.step}: no node fits: see kubectl describe pod {pod.name}")
