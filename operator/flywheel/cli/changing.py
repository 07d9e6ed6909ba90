"""What `suspend`, `resume`, `stop`, `approve`, `rollback` and `promote` change: object in, patch of its spec out. Pure.

Also tells who else keeps an object's spec: a change past Git or Helm is undone, or hidden from those who read it there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import yaml

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import READY
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.metadata import Metadata
from flywheel.api.target import BASE
from flywheel.cli.errors import CommandError
from flywheel.controller.fields import entries, text
from flywheel.loop.decide import ended
from flywheel.serving.candidates import newest
from flywheel.serving.names import short

Spec = dict[str, Any]
Turn = Literal["suspend", "resume", "stop"]
_TURNS: dict[Turn, Spec] = {"suspend": {"suspend": True}, "resume": {"suspend": False}, "stop": {"stop": {"now": True}}}


class Owner(NamedTuple):
    """Who keeps the object's spec, and by what one sees it."""

    name: str
    sign: str


_MANAGERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "helm": "Helm",
}
_MARKS = (
    ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD"),
    ("labels", "argocd.argoproj.io/instance", "Argo CD"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("labels", "helm.toolkit.fluxcd.io/name", "Flux"),
    ("annotations", "meta.helm.sh/release-name", "Helm"),
    # Argo CD's older default; charts set it by hand, too.
    ("labels", "app.kubernetes.io/instance", "Argo CD or Helm"),
)


def owner_of(metadata: dict[str, Any]) -> Owner | None:
    """Who applies this object from elsewhere, by its managed fields, annotations and labels; None for nobody."""
    for entry in entries(metadata, "managedFields"):
        manager = text(entry, "manager")
        if not entry.get("subresource") and (name := _MANAGERS.get(manager)) is not None:
            return Owner(name, f"its fields are managed by {manager}")
    for place, key, name in _MARKS:
        if value := text(metadata, place, key):
            return Owner(name, f"{place.removesuffix('s')} {key}: {value}")
    return None


def refusal(kind: str, name: str, owner: Owner) -> str:
    """Why it is not applied."""
    return (
        f"error: {owner.name} keeps {kind} {name} ({owner.sign}): it would revert this change, or never know of it;"
        " commit what is printed above, or give --force"
    )


def turned(run: FlywheelRun, turn: Turn) -> Spec:
    """The patch of a run's spec. Raises CommandError where it would change nothing."""
    name = run.metadata.name
    if ended(run.status):
        reason = next((entry.reason for entry in run.status.conditions if entry.type == READY), "")
        raise CommandError(f"error: run {name} has ended ({reason}): nothing changes it any more; create a new run")
    if turn == "stop" and run.spec.stop.now:
        raise CommandError(f"error: run {name} is being stopped already")
    if turn != "stop" and run.spec.suspend == (turn == "suspend"):
        raise CommandError(f"error: run {name} is {'suspended already' if run.spec.suspend else 'not suspended'}")
    return _TURNS[turn]


def approved(deployment: AdapterDeployment, digest: str | None) -> Spec:
    """Approve the candidate that waits, or the one named. Raises CommandError where none waits."""
    waiting, name = deployment.status.waiting, deployment.metadata.name
    if deployment.spec.approval != "Manual":
        raise CommandError(f"error: {name} has spec.approval: Automatic: candidates wait for nobody")
    if digest is None and waiting is None:
        raise CommandError(f"error: no candidate waits for approval of {name}; see flywheel status adep/{name}")
    chosen = digest or (waiting.digest if waiting is not None else "")
    if deployment.spec.approved_digest == chosen:
        raise CommandError(f"error: {short(chosen)} is approved already")
    return {"approvedDigest": chosen}


def rolled_back(deployment: AdapterDeployment, to: str | None) -> Spec:
    """Pin what served before, or what is named. Raises CommandError where nothing did."""
    status, name = deployment.status, deployment.metadata.name
    if to is None and not status.previous:
        raise CommandError(f"error: nothing served before under {name}: give --to Base for the bare student")
    to = to or status.previous[0].digest
    known = {entry.digest for entry in (status.serving, *status.previous) if entry is not None}
    if to != BASE and to not in known:
        ways = ", ".join(sorted(known)) or "nothing"
        raise CommandError(f"error: {name} has no adapter {to} at hand: it has {ways}, and Base")
    if deployment.spec.pin == to:
        raise CommandError(f"error: {name} is pinned to {short(to)} already")
    return {"pin": to}


def promoted(deployment: AdapterDeployment, runs: Sequence[FlywheelRun]) -> Spec:
    """Let the newest candidate in: no pin, and approved where that is asked for. Raises CommandError.

    None in a patch removes a field.
    """
    spec, status, name = deployment.spec, deployment.status, deployment.metadata.name
    mine = [run for run in runs if run.spec.deployment_ref is not None and run.spec.deployment_ref.name == name]
    offered = newest(mine, status)
    if status.waiting is not None:
        digest = status.waiting.digest
    elif offered is not None:
        digest = offered.digest
    elif spec.pin is None:
        raise CommandError(f"error: no run has a candidate for {name} that is newer than what serves")
    else:
        digest = None
    patch: Spec = {"pin": None} if spec.pin is not None else {}
    if spec.approval == "Manual" and digest is not None and spec.approved_digest != digest:
        patch["approvedDigest"] = digest
    if not patch:
        words = "approval is Automatic" if spec.approval == "Automatic" else "it is approved already"
        raise CommandError(
            f"error: nothing holds {short(digest or '')} back ({words}); see flywheel explain adep/{name}"
        )
    return patch


def fragment(kind: str, metadata: Metadata, patch: Spec) -> str:
    """What to commit: the fields that change, as YAML; what is to be removed, as a comment."""
    removed = [name for name, value in patch.items() if value is None]
    body = {
        "apiVersion": "flywheel.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": metadata.name, "namespace": metadata.namespace},
        "spec": {name: value for name, value in patch.items() if value is not None},
    }
    if not body["spec"]:
        del body["spec"]
    lines = [
        f"# Commit this into the manifest of {kind} {metadata.name}:",
        yaml.safe_dump(body, sort_keys=False).rstrip(),
    ]
    lines += [f"# and remove there: spec.{name}" for name in removed]
    return "\n".join(lines)


def kubectl_line(plural: str, metadata: Metadata, patch: Spec) -> str:
    """The same past Git, by hand."""
    body = json.dumps({"spec": patch}, separators=(",", ":"))
    return f"kubectl -n {metadata.namespace} patch {plural}.flywheel.dev {metadata.name} --type=merge -p '{body}'"
