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
    VerifyParameters,
)
from flywheel.controller.jobs import Owner, job_manifest
from flywheel.controller.mounts import bucket_sources
from flywheel.loop.plan import StepJob

OWNER = Owner("flywheel.dev/v1alpha1", "FlywheelRun", "review", "severity", "11111111-2222-3333-4444-555555555555")
IMAGES = {"operator": "o:1", "student": "s:1", "trainer": "t:1"}
TEACHING: set[StepName] = {"preflight", "exam", "evaluate"}
POD_FIELDS = {
    "restartPolicy", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "automountServiceAccountToken",
    "enableServiceLinks", "securityContext", "containers", "volumes", "nodeSelector", "tolerations", "initContainers",
    "runtimeClassName", "priorityClassName", "imagePullSecrets",
}  # fmt: skip
WORKSPACE = "/workspace/"


def check_job(job: StepJob) -> None:
    """The Job of a decision: restricted, without a token, with no key that its step does not need."""
    manifest: dict[str, Any] = job_manifest(job, OWNER, IMAGES)  # type: ignore[arg-type]
    pod = manifest["spec"]["template"]["spec"]
    assert set(pod) <= POD_FIELDS, "a field that nobody has thought about"
    for marks in (manifest["metadata"]["labels"], manifest["spec"]["template"]["metadata"]["labels"]):
        assert marks["flywheel.dev/owner-uid"] == OWNER.uid, "a user's label took the place of ours"
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] > 0 and security["runAsGroup"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    sidecars = pod.get("initContainers", [])
    for each in (container, *sidecars):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"ports", "envFrom", "lifecycle", "args", "volumeDevices"} & set(each)
        assert re.search("[1-9]", each["resources"]["limits"]["memory"])
    _check_environment(job, container["env"])
    _check_sidecars(job, sidecars)
    _check_volumes(job, pod["volumes"], container["volumeMounts"])


def _check_environment(job: StepJob, env: list[dict[str, Any]]) -> None:
    names = [entry["name"] for entry in env]
    assert len(names) == len(set(names))
    own = {entry.name for entry in job.settings.env or []}
    assert not [name for name in own if name.startswith("FLYWHEEL_")]
    keys = {entry["name"]: entry["valueFrom"] for entry in env if "valueFrom" in entry}
    if job.request.step == "fetch" and job.hub_secret is not None:
        ref = {"name": job.hub_secret, "key": "hubToken", "optional": False}
        assert keys == {"FLYWHEEL_HUB_TOKEN": {"secretKeyRef": ref}}
        return
    parameters = job.request.parameters
    if isinstance(parameters, VerifyParameters) and job.serving_secret is not None:
        names = {"value": "VALUE", "header": "HEADER"} if parameters.server == "triton" else {"apiKey": "API_KEY"}
        ref = {"name": job.serving_secret, "optional": False}
        assert keys == {
            f"FLYWHEEL_SERVING_{name}": {"secretKeyRef": {**ref, "key": key}} for key, name in names.items()
        }
        return
    if job.request.step not in (*TEACHING, "judge"):
        assert not keys and job.serving_secret is None
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


def _check_sidecars(job: StepJob, sidecars: list[dict[str, Any]]) -> None:
    """The bucket's key is in the sidecar, which is our image and program, and nowhere else."""
    place, sources = job.claims.workspace.s3, bucket_sources(job.request)
    buckets = {f"SOURCE_{number}": source for number, source in sources.items()} | ({"S3": place} if place else {})
    repository = job.claims.repository.s3 if job.claims.repository is not None else None
    if isinstance(job.request.parameters, PublishParameters) and repository is not None:
        buckets |= {"REPOSITORY": repository}
    assert len(sidecars) == bool(buckets)
    for sidecar in sidecars:
        assert sidecar["image"] == IMAGES["operator"] and sidecar["command"][1:] == ["-m", "flywheel.workspace.sidecar"]
        keys = {entry["name"]: entry["valueFrom"] for entry in sidecar["env"] if "valueFrom" in entry}
        for name, bucket in buckets.items():
            assert (keys.pop(f"FLYWHEEL_{name}_CA", None) is not None) == (bucket.ca_bundle_ref is not None)
        names = {"ACCESS_KEY_ID": "accessKeyId", "SECRET_ACCESS_KEY": "secretAccessKey", "HOSTS": "hosts"}
        assert keys == {
            f"FLYWHEEL_{where}_{name}": {
                "secretKeyRef": {"name": bucket.secret_ref.name, "key": key, "optional": False}
            }
            for where, bucket in buckets.items()
            for name, key in names.items()
        }
        shared = {"workspace": "/workspace"} if place else {"fetched": "/workspace/_fetched"} if sources else {}
        shared |= {"repository": "/repository"} if "REPOSITORY" in buckets else {}
        assert sidecar["volumeMounts"] == [{"name": name, "mountPath": path} for name, path in shared.items()]


def _check_volumes(job: StepJob, volumes: list[dict[str, Any]], mounts: list[dict[str, Any]]) -> None:
    own = job.claims.workspace.persistent_volume_claim
    repository = job.claims.repository
    served = repository.persistent_volume_claim if repository is not None else None
    claims = {own and own.claim_name, job.claims.model, served and served.claim_name} - {None}
    claims |= {source.claim for source in job.claims.sources} - {None}
    sources = {entry["name"]: next(iter(set(entry) - {"name"})) for entry in volumes}
    assert set(sources.values()) <= {"persistentVolumeClaim", "emptyDir", "configMap"}
    assert job.request.step in (*TEACHING, "prepare", "verify") or "configMap" not in sources.values()
    assert {v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v} <= claims
    readable, writable = planned(job.request)
    for mount in mounts:
        path, read_only = mount["mountPath"], mount.get("readOnly", False)
        assert "subPathExpr" not in mount and "mountPropagation" not in mount
        if sources[mount["name"]] == "emptyDir":
            assert (
                path in ("/tmp", "/dev/shm")
                or (path == "/workspace" and own is None)
                or (path == "/workspace/_fetched" and own is not None and bucket_sources(job.request))
                or (path == "/repository" and repository is not None and repository.s3 is not None)
            )
        elif path.startswith("/sources/"):
            (source,) = [source for source in job.claims.sources if f"{path}/".startswith(f"{source.folder}/")]
            wanted = (source.folder, None) if source.config_map else (f"{source.folder}/{source.path}", source.path)
            assert read_only and (path, mount.get("subPath")) == wanted
        elif sources[mount["name"]] == "configMap":
            whose = "serving" if job.request.step == "verify" else "teacher"
            assert read_only and path == f"/etc/flywheel/{whose}"
        elif path == "/model":
            assert read_only and mount.get("subPath") == job.claims.model_folder
        elif isinstance(job.request.parameters, PublishParameters) and path == job.request.parameters.repository_path:
            assert served is not None
        else:
            assert path == WORKSPACE + mount["subPath"]
            assert mount["subPath"] in (readable if read_only else writable)
    mounted = {mount.get("subPath") for mount in mounts}
    assert own is None or all(any(f"{path}/".startswith(f"{top}/") for top in mounted) for path in readable | writable)


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
            own = [source for source in sources if source.volume is None and source.s3 is None]
            readable |= {each.path if each.repository else each.path.rpartition("/")[0] or each.path for each in own}
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
