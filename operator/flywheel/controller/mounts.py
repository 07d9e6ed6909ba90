"""What a step's pod mounts: only the paths that its request names, read-only but for its own. Pure.

Of a workspace in a bucket nothing is mounted: a folder of the pod's own takes its place, and the sidecar fills it. The
same holds of what servers read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from flywheel.api.endpoint import ConfigMapKeyRef
from flywheel.api.request import (
    EvaluateParameters,
    ExamParameters,
    PreflightParameters,
    PrepareParameters,
    PublishParameters,
    StepRequest,
    VerifyParameters,
)
from flywheel.api.workspace import Bucket
from flywheel.loop.curriculum import FETCHED
from flywheel.loop.plan import Claims, SourceVolume
from flywheel.workspace.reach import read_paths, within_any, writable_paths

WORKSPACE_PATH = "/workspace"
MODEL_PATH = "/model"
Object = dict[str, Any]
# Of a workspace in a bucket, in the step's container and in the sidecar's.
WORKSPACE_MOUNT: Object = {"mountPath": WORKSPACE_PATH}
# Of objects of buckets, beside a workspace on a claim: likewise in both.
FETCHED_MOUNT: Object = {"mountPath": f"{WORKSPACE_PATH}/{FETCHED}"}
# Sets nothing aside. What a step needs is its inputs and outputs; jobs may limit ephemeral-storage further.
_MOST = "64Gi"


@dataclass(frozen=True)
class Volumes:
    """`volumes` of the pod and `volumeMounts` of its container."""

    volumes: list[Object]
    mounts: list[Object]


def volumes(request: StepRequest, claims: Claims, scratch: str, shared_memory: str | None) -> Volumes:
    """Volumes and mounts of one step."""
    found = Volumes([], [])
    if claims.workspace.persistent_volume_claim is not None:
        claim = claims.workspace.persistent_volume_claim.claim_name
        _add_claim(found, "workspace", claim, _workspace(request))
        if bucket_sources(request):
            _add(found, "fetched", {"emptyDir": {"sizeLimit": _MOST}}, [FETCHED_MOUNT])
    else:
        _add(found, "workspace", {"emptyDir": {"sizeLimit": _MOST}}, [WORKSPACE_MOUNT])
    if claims.model is not None:
        mount: Object = {"mountPath": MODEL_PATH, "readOnly": True}
        if claims.model_folder is not None:
            mount["subPath"] = claims.model_folder
        _add_claim(found, "model", claims.model, [mount])
    if claims.repository is not None and isinstance(request.parameters, PublishParameters):
        claim, mount = claims.repository.persistent_volume_claim, {"mountPath": request.parameters.repository_path}
        if claim is not None:
            _add_claim(found, "repository", claim.claim_name, [mount])
        else:
            _add(found, "repository", {"emptyDir": {"sizeLimit": _MOST}}, [mount])
    if (bundle := ca_bundle(request)) is not None:
        folder, _, file = bundle.path.rpartition("/")
        # Optional: the step says what is missing, where the kubelet would wait in silence.
        source = {"name": bundle.ref.name, "optional": True, "items": [{"key": bundle.ref.key, "path": file}]}
        _add(found, f"{bundle.whose}-ca", {"configMap": source}, [{"mountPath": folder, "readOnly": True}])
    for place, source in enumerate(claims.sources):
        _add_source(found, f"source-{place}", source)
    _add(found, "tmp", {"emptyDir": {"sizeLimit": scratch}}, [{"mountPath": "/tmp"}])  # noqa: S108 - inside the pod
    if shared_memory is not None:
        source = {"emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}}
        _add(found, "shared-memory", source, [{"mountPath": "/dev/shm"}])  # noqa: S108 - inside the pod
    return found


def bucket_sources(request: StepRequest) -> dict[int, Bucket]:
    """The buckets of prepare's sources, by their places among all sources."""
    if not isinstance(request.parameters, PrepareParameters):
        return {}
    return {place: source.s3 for place, source in enumerate(request.parameters.sources) if source.s3 is not None}


@dataclass(frozen=True)
class CaBundle:
    """Certificates that a step trusts its teacher by, or the serving pods."""

    whose: Literal["teacher", "serving"]
    ref: ConfigMapKeyRef

    @property
    def path(self) -> str:
        """In the pod, which is told by `variable`."""
        return f"/etc/flywheel/{self.whose}/ca.pem"

    @property
    def variable(self) -> str:
        """Name of it."""
        return f"FLYWHEEL_{self.whose.upper()}_CA"


def ca_bundle(request: StepRequest) -> CaBundle | None:
    """What a step has of them, where its resource names any."""
    parameters = request.parameters
    if isinstance(parameters, PreflightParameters | ExamParameters | EvaluateParameters):
        ref = parameters.teacher.ca_bundle
        return CaBundle("teacher", ref) if ref is not None else None
    if isinstance(parameters, VerifyParameters) and parameters.tls is not None:
        ref = parameters.tls.ca_bundle_ref
        return CaBundle("serving", ref) if ref is not None else None
    return None


def _add_source(found: Volumes, name: str, source: SourceVolume) -> None:
    if source.claim is not None:
        mount: Object = {"mountPath": f"{source.folder}/{source.path}", "subPath": source.path, "readOnly": True}
        _add_claim(found, name, source.claim, [mount])
    elif source.config_map is not None:
        # Optional: prepare says what is missing better than a pod that cannot start.
        items = [{"key": source.path, "path": source.path}]
        volume: Object = {"configMap": {"name": source.config_map, "optional": True, "items": items}}
        _add(found, name, volume, [{"mountPath": source.folder, "readOnly": True}])


def _add_claim(found: Volumes, name: str, claim: str, mounts: Iterable[Object]) -> None:
    """Each claim is one volume: two volumes of one claim share a mount on the node, and its mode."""
    source = {"persistentVolumeClaim": {"claimName": claim}}
    known = next((entry["name"] for entry in found.volumes if entry.items() >= source.items()), None)
    if known is None:
        _add(found, name, source, mounts)
    else:
        found.mounts.extend({"name": known, **mount} for mount in mounts)


def _add(found: Volumes, name: str, source: Object, mounts: Iterable[Object]) -> None:
    found.volumes.append({"name": name, **source})
    found.mounts.extend({"name": name, **mount} for mount in mounts)


def _workspace(request: StepRequest) -> list[Object]:
    writable = _outermost(writable_paths(request))
    covered = [path for path in read_paths(request) if not within_any(path, writable)]
    entries = [(path, False) for path in writable] + [(path, True) for path in _outermost(covered)]
    return [_mount(path, read_only) for path, read_only in sorted(entries)]


def _mount(path: str, read_only: bool) -> Object:
    mount: Object = {"mountPath": f"{WORKSPACE_PATH}/{path}", "subPath": path}
    return mount | ({"readOnly": True} if read_only else {})


def _outermost(paths: Iterable[str]) -> list[str]:
    """Without doubles and without paths below others: nothing is mounted twice."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda entry: (entry.count("/"), entry)):
        if not within_any(path, kept):
            kept.append(path)
    return kept
