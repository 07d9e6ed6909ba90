"""The report of a run in a cluster: a pod of the operator's image reads the claim and prints the page into its log.

Must not know what is on the page.
"""

from __future__ import annotations

import json
import time

import typer

from flywheel.api.flywheelrun import FlywheelRun
from flywheel.cli.cluster import Cluster, Object
from flywheel.cli.errors import CommandError
from flywheel.cli.logs import newest_pod
from flywheel.cli.naming import Found
from flywheel.controller.fields import entries, mapping, text
from flywheel.controller.labels import CONTAINER
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT

WAIT_SECONDS = 180.0
_LOOK_SECONDS = 0.5
# Steps of the operator's image, in the order in which a run has them.
_STEPS = ("evaluate", "exam", "preflight")
_LIKE_A_STEP = ("imagePullSecrets", "nodeSelector", "tolerations")


def page_by_pod(cluster: Cluster, run: Found[FlywheelRun], image: str | None) -> bytes:
    """The page. Raises CommandError; the pod and what it was given are deleted in any case."""
    made = cluster.create_pod(manifest(run.item, _like(cluster, run, image)))
    name = str(made["metadata"]["name"])
    typer.echo(f"# pod {name} reads the workspace", err=True)
    try:
        cluster.create_config_map(_resources(cluster, run, made))
        phase = _until_ended(cluster, name)
        said = "".join(cluster.log(name, follow=False))
    finally:
        cluster.delete_pod(name)
    if phase != "Succeeded":
        raise CommandError((said.strip().splitlines() or [f"error: pod {name} ended as {phase} without a word"])[-1])
    return said.encode()


def manifest(run: FlywheelRun, like: Object) -> Object:
    """The pod; `like` has the image, and what the nodes of the run's steps ask for. Raises CommandError."""
    workspace = run.status.workspace
    if workspace is None:
        raise CommandError(f"error: {run.metadata.name} has not begun: there is nothing to report")
    if workspace.persistent_volume_claim is None:
        raise CommandError(f"error: the workspace of {run.metadata.name} is a bucket: there is no report of it yet")
    claim = {"claimName": workspace.persistent_volume_claim.claim_name, "readOnly": True}
    what = f"{run.metadata.namespace}/{run.metadata.name}"
    container = {
        "name": CONTAINER,
        "image": like["image"],
        "command": ["/opt/venv/bin/python", "-m", "flywheel.report"],
        "args": ["/workspace", what, "--resources", "/resources"],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "workspace", "mountPath": "/workspace", "readOnly": True},
            {"name": "resources", "mountPath": "/resources", "readOnly": True},
        ],
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    name = f"flywheel-report-{run.metadata.uid[:8]}"  # one at a time: a second says AlreadyExists
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "flywheel-report"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(WAIT_SECONDS),
            "automountServiceAccountToken": False,
            "securityContext": user,
            "containers": [container],
            "volumes": [
                {"name": "workspace", "persistentVolumeClaim": claim},
                {"name": "resources", "configMap": {"name": name}},
            ],
            **{key: like[key] for key in _LIKE_A_STEP if key in like},
        },
    }


def _like(cluster: Cluster, run: Found[FlywheelRun], image: str | None) -> Object:
    pods = cluster.pods(run.item.metadata.uid)
    pod = next((found for step in _STEPS if (found := newest_pod(pods, step)) is not None), None)
    if pod is None and image is None:
        raise CommandError("error: no pod of this run is there to take the operator's image from: give --image")
    spec = mapping(pod or {}, "spec")
    steps = [entry["image"] for entry in entries(spec, "containers") if entry["name"] == CONTAINER]
    return {**spec, "image": image or steps[0]}


def _resources(cluster: Cluster, run: Found[FlywheelRun], pod: Object) -> Object:
    """The run, its Curriculum and its AdapterDeployment; they go with the pod."""
    spec = run.item.spec
    wanted = [(CURRICULUM, spec.curriculum_ref.name)]
    wanted += [(DEPLOYMENT, spec.deployment_ref.name)] if spec.deployment_ref is not None else []
    items = [run.raw, *(found for kind, name in wanted if (found := cluster.get(kind, name)) is not None)]
    for item in items:
        item["metadata"].pop("managedFields", None)
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    metadata = {"name": name, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]}
    data = {"resources.yaml": json.dumps({"apiVersion": "v1", "kind": "List", "items": items})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _until_ended(cluster: Cluster, name: str) -> str:
    """Its last phase. Raises CommandError where it does not end."""
    end = time.monotonic() + WAIT_SECONDS
    while (phase := text(pod := cluster.pod(name), "status", "phase")) not in ("Succeeded", "Failed"):
        if time.monotonic() > end:
            raise CommandError(f"error: pod {name} did not end in {WAIT_SECONDS:.0f} s: {_why(pod)}")
        time.sleep(_LOOK_SECONDS)
    return phase


def _why(pod: Object) -> str:
    """What keeps it, in Kubernetes' words."""
    waits = [mapping(entry, "state", "waiting") for entry in entries(pod, "status", "containerStatuses")]
    told = [*waits, *(entry for entry in entries(pod, "status", "conditions") if entry.get("status") == "False")]
    words = [f"{text(entry, 'reason')}: {text(entry, 'message')}" for entry in told if "reason" in entry]
    return words[0] if words else text(pod, "status", "phase")
