"""StepJob -> Job manifest. Pure. One Job is one attempt; a restricted pod with no token, and only what its step needs.

What users may not say (token mount, service account, security context) is decided here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flywheel.api.jobs import QUEUE_LABEL, JobSettings, Resources
from flywheel.api.model import duration_seconds
from flywheel.api.request import VerifyParameters
from flywheel.controller import labels
from flywheel.controller.mounts import WORKSPACE_PATH, ca_bundle, volumes
from flywheel.controller.sidecar import sidecar_containers, sidecar_environment
from flywheel.controller.step_defaults import STEP_DEFAULTS, ImageName, StepDefaults
from flywheel.loop.plan import StepJob
from flywheel.serving.access import SECRET_KEYS

PYTHON = "/opt/venv/bin/python"
USER = 65532
KEEP_FINISHED_SECONDS = 86400
# Linux refuses a longer environment variable (MAX_ARG_STRLEN is 128 KiB); some room for its escapes.
MAX_REQUEST_BYTES = 120_000
Object = dict[str, Any]
_RESTRICTED: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


class RequestTooLargeError(ValueError):
    """The step's request does not fit into an environment variable."""


@dataclass(frozen=True)
class Owner:
    """The resource that a Job belongs to, and the generation of spec that it is made from."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    generation: int = 0

    def reference(self, *, blocks_deletion: bool) -> Object:
        """The owner reference of what belongs to it. `blocks_deletion`: foreground deletion waits for that."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": blocks_deletion,
        }


def job_manifest(job: StepJob, owner: Owner, images: Mapping[ImageName, str]) -> Object:
    """The Job of one attempt. Raises RequestTooLargeError."""
    marks, own = _labels(job, owner), job.settings.labels or {}
    # A queue is asked for Jobs: the same label on a pod would ask for the pod once more.
    own_of_pod = {key: value for key, value in own.items() if not key.startswith(labels.QUEUES)}
    annotations = {"annotations": job.settings.annotations} if job.settings.annotations else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job.name,
            "namespace": owner.namespace,
            "labels": own | marks,
            **annotations,
            "ownerReferences": [owner.reference(blocks_deletion=True)],
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": KEEP_FINISHED_SECONDS,
            # Never written again: who admits it decides when it runs, and when it has to stop.
            **({"suspend": True} if own.get(QUEUE_LABEL) else {}),
            "template": {"metadata": {"labels": own_of_pod | marks, **annotations}, "spec": _pod(job, images)},
        },
    }


def _labels(job: StepJob, owner: Owner) -> dict[str, str]:
    found = {
        "app.kubernetes.io/name": "flywheel",
        "app.kubernetes.io/component": job.request.step,
        "app.kubernetes.io/managed-by": "flywheel-operator",
        "app.kubernetes.io/part-of": "flywheel",
        labels.OWNER_UID: owner.uid,
        labels.OWNER_KIND: owner.kind,
        labels.OWNER: labels.label_value(owner.name),
        labels.STEP: job.step,
        labels.ITERATION: str(job.request.iteration),
        labels.ATTEMPT: str(job.request.attempt),
        labels.GENERATION: str(owner.generation),
        labels.SETTINGS: job.settings.digest,
    }
    return found | ({labels.REREADS: str(job.rereads)} if job.rereads is not None else {})


def _pod(job: StepJob, images: Mapping[ImageName, str]) -> Object:
    settings, defaults = job.settings, STEP_DEFAULTS[job.request.step]
    found = volumes(job.request, job.claims, defaults.scratch, settings.shm_size or defaults.shared_memory)
    pod: Object = {
        "restartPolicy": "Never",
        # The pod's clock, not the Job's: waiting for a node or an image does not count.
        "activeDeadlineSeconds": duration_seconds(settings.timeout or defaults.timeout),
        "terminationGracePeriodSeconds": defaults.grace_seconds,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job, defaults, images, found.mounts)],
        **_sidecar(job, images),
        "volumes": found.volumes,
    }
    if settings.node_selector:
        pod["nodeSelector"] = settings.node_selector
    if settings.tolerations:
        pod["tolerations"] = [entry.to_json_object() for entry in settings.tolerations]
    if settings.runtime_class_name:
        pod["runtimeClassName"] = settings.runtime_class_name
    if settings.priority_class_name:
        pod["priorityClassName"] = settings.priority_class_name
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [entry.to_json_object() for entry in settings.image_pull_secrets]
    return pod


def _container(job: StepJob, defaults: StepDefaults, images: Mapping[ImageName, str], mounts: list[Object]) -> Object:
    return {
        "name": labels.CONTAINER,
        "image": job.settings.image or images[defaults.image],
        "imagePullPolicy": "IfNotPresent",
        "command": [PYTHON, "-m", defaults.module],
        "workingDir": "/tmp",  # noqa: S108 - an emptyDir of the pod
        "env": _environment(job),
        "resources": resources(job.settings, defaults),
        "volumeMounts": mounts,
        "terminationMessagePolicy": "File",
        "securityContext": _RESTRICTED,
    }


def _sidecar(job: StepJob, images: Mapping[ImageName, str]) -> Object:
    found = sidecar_containers(job, images["operator"], PYTHON, _request(job), _RESTRICTED)
    return {"initContainers": found} if found else {}


def _request(job: StepJob) -> Object:
    request = json.dumps(job.request.to_json_object(), separators=(",", ":"), ensure_ascii=False)
    size = len(_literal(request).encode())
    if size > MAX_REQUEST_BYTES:
        raise RequestTooLargeError(
            f"the request of step {job.step} has {size} bytes, the limit is {MAX_REQUEST_BYTES}:"
            " shorten the task's instructions and schemas"
        )
    return {"name": "FLYWHEEL_REQUEST", "value": _literal(request)}


def _environment(job: StepJob) -> list[Object]:
    found: list[Object] = [{"name": entry.name, "value": _literal(entry.value)} for entry in job.settings.env or []]
    found += [_request(job), {"name": "FLYWHEEL_WORKSPACE", "value": WORKSPACE_PATH}]
    found += sidecar_environment(job)
    if job.teacher_secret is not None:
        found += [
            _secret("FLYWHEEL_TEACHER_API_KEY", job.teacher_secret, "apiKey"),
            _secret("FLYWHEEL_TEACHER_HOSTS", job.teacher_secret, "hosts"),
        ]
    if job.hub_secret is not None:
        found.append(_secret("FLYWHEEL_HUB_TOKEN", job.hub_secret, "hubToken"))
    if (bundle := ca_bundle(job.request)) is not None:
        found.append({"name": bundle.variable, "value": bundle.path})
    parameters = job.request.parameters
    if job.serving_secret is not None and isinstance(parameters, VerifyParameters):
        variables = SECRET_KEYS[parameters.server].items()
        found += [_secret(variable, job.serving_secret, key) for key, variable in variables]
    for prefix, secret in job.other_secrets:
        found += [
            _secret(f"FLYWHEEL_{prefix}_API_KEY", secret, "apiKey"),
            _secret(f"FLYWHEEL_{prefix}_HOSTS", secret, "hosts"),
        ]
    return found


def _literal(value: str) -> str:
    # The kubelet expands $(NAME) and turns $$ into $.
    return value.replace("$", "$$")


def _secret(name: str, secret: str, key: str) -> Object:
    # Never optional: without the key `hosts` a Secret has not opted in, and the pod must not start.
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": False}}}


def resources(settings: JobSettings, defaults: StepDefaults) -> Object:
    """Requests and limits: the user's over the defaults, without a default that contradicts them."""
    own, base = settings.resources or Resources(), defaults.resources
    requests = {name: value for name, value in base.requests.items() if name not in own.limits} | own.requests
    limits = base.limits | own.limits
    if "memory" in own.requests and "memory" not in own.limits:
        limits["memory"] = own.requests["memory"]
    return {"requests": requests, "limits": limits}
