"""What must hold for every Job that the operator makes, whatever a user wrote (DESIGN 7 and invariant 8)."""

from __future__ import annotations

import re
from typing import Any

from flywheel.api.jobs import StepName
from flywheel.api.request import (
    CleanupParameters,
    JudgeParameters,
    PrepareParameters,
    PublishParameters,
    ReportParameters,
    StepRequest,
    TrainParameters,
)
from flywheel.controller.jobs import Owner, job_manifest
from flywheel.loop.plan import StepJob

OWNER = Owner("flywheel.dev/v1alpha1", "FlywheelRun", "review", "severity", "11111111-2222-3333-4444-555555555555")
IMAGES = {"operator": "o:1", "student": "s:1", "trainer": "t:1"}
TEACHING: set[StepName] = {"exam", "evaluate"}
POD_FIELDS = {
    "restartPolicy", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "automountServiceAccountToken",
    "enableServiceLinks", "securityContext", "containers", "volumes", "nodeSelector", "tolerations",
}  # fmt: skip
WORKSPACE = "/workspace/"


def check_job(job: StepJob) -> None:
    """The Job of a decision: restricted, without a token, with no key that its step does not need."""
    pod: dict[str, Any] = job_manifest(job, OWNER, IMAGES)["spec"]["template"]["spec"]  # type: ignore[arg-type]
    assert set(pod) <= POD_FIELDS, "a field that nobody has thought about"
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] > 0 and security["runAsGroup"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"ports", "envFrom", "lifecycle", "args", "volumeDevices"} & set(container)
    assert re.search("[1-9]", container["resources"]["limits"]["memory"])
    _check_environment(job, container["env"])
    _check_volumes(job, pod["volumes"], container["volumeMounts"])


def _check_environment(job: StepJob, env: list[dict[str, Any]]) -> None:
    names = [entry["name"] for entry in env]
    assert len(names) == len(set(names))
    own = {entry.name for entry in job.settings.env or []}
    assert not [name for name in own if name.startswith("FLYWHEEL_")]
    keys = {entry["name"]: entry["valueFrom"] for entry in env if "valueFrom" in entry}
    if job.request.step not in (*TEACHING, "judge"):
        assert not keys
        return
    if job.request.step == "judge":
        assert job.teacher_secret is None and set(keys) == {
            f"FLYWHEEL_{prefix}_{key}" for prefix, _ in job.other_secrets for key in ("API_KEY", "HOSTS")
        }
        assert all(value["secretKeyRef"]["optional"] is False for value in keys.values())
        return
    assert not job.other_secrets
    ref = {"name": job.teacher_secret, "optional": False}
    assert keys == {
        "FLYWHEEL_TEACHER_API_KEY": {"secretKeyRef": {**ref, "key": "apiKey"}},
        "FLYWHEEL_TEACHER_HOSTS": {"secretKeyRef": {**ref, "key": "hosts"}},
    }


def _check_volumes(job: StepJob, volumes: list[dict[str, Any]], mounts: list[dict[str, Any]]) -> None:
    claims = {job.claims.workspace, job.claims.model, job.claims.repository} - {None}
    sources = {entry["name"]: next(iter(set(entry) - {"name"})) for entry in volumes}
    assert set(sources.values()) <= {"persistentVolumeClaim", "emptyDir"}
    assert {v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v} <= claims
    readable, writable = planned(job.request)
    for mount in mounts:
        path, read_only = mount["mountPath"], mount.get("readOnly", False)
        assert "subPathExpr" not in mount and "mountPropagation" not in mount
        if sources[mount["name"]] == "emptyDir":
            assert path in ("/tmp", "/dev/shm")
        elif path == "/model":
            assert read_only and mount.get("subPath") == job.claims.model_folder
        elif isinstance(job.request.parameters, PublishParameters) and path == job.request.parameters.repository_path:
            assert job.claims.repository is not None
        else:
            assert path == WORKSPACE + mount["subPath"]
            assert mount["subPath"] in (readable if read_only else writable)
    mounted = {mount.get("subPath") for mount in mounts}
    assert all(any(f"{path}/".startswith(f"{top}/") for top in mounted) for path in readable | writable)


def planned(request: StepRequest) -> tuple[set[str], set[str]]:
    """What the step may read and write on the workspace."""
    readable: set[str] = set()
    for entry in request.inputs:
        readable |= (
            {f"{entry.path}/{part}" for part in ("manifest.json", *entry.parts)} if entry.parts else {entry.path}
        )
    writable = {request.output, *request.also_writable}
    match request.parameters:
        case PrepareParameters(sources=sources):
            readable |= {source.path.rpartition("/")[0] or source.path for source in sources}
        case JudgeParameters(anchors=str(anchors)):
            readable.add(anchors.rpartition("/")[0] or anchors)
        case TrainParameters(resume=str(resume)):
            readable.add(resume)
        case ReportParameters(attempt_path=path):
            readable, writable = {path}, set[str]()
        case CleanupParameters(home=home):
            writable = {home}
        case _:
            pass
    return readable, writable
