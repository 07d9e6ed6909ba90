"""A scripted node: binds pods, starts and ends them as the script says, by patching their status as a kubelet does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bed_results import result

from flywheel.api.request import ReportParameters, StepRequest
from flywheel.api.result import StepResult
from flywheel.controller.client import Api, ApiError
from flywheel.controller.labels import OWNER_UID
from flywheel.controller.resources import POD

Object = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """How a pod's container ends. `waiting`: it does not start, for this reason and message; or its `sidecar` does not.

    `unschedulable`: the scheduler's words, and it gets no node. `stubborn`: a deleted pod does not end.
    """

    code: int = 0
    said: StepResult | None = None
    reason: str = ""
    waiting: tuple[str, str] | None = None
    sidecar: bool = False
    hold: bool = False  # runs on
    pod_reason: str = ""
    unschedulable: str = ""
    disrupted: bool = False  # by an eviction, a drain, a lost node
    stubborn: bool = False


DONE = Ending()
HOLD = Ending(hold=True)
Script = Callable[[StepRequest], Ending]
Stage = tuple[str, int, str]


class Stages(dict[Stage, Ending]):
    """A script by owner, iteration and step, which may change at any time; what is not in it is done."""

    def __call__(self, request: StepRequest) -> Ending:
        return self.get((request.owner, request.iteration, request.step), DONE)


@dataclass
class Node:
    """Plays the kubelet for every pod of ours: in a thread, or `turn` by turn. `script` may be replaced at any time."""

    api: Api
    namespace: str
    script: Script = field(default=lambda _request: DONE)
    started: list[str] = field(default_factory=list[str])
    said: dict[str, StepResult] = field(default_factory=dict[str, StepResult])
    _written: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Run in a thread."""
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pods, _ = self.api.list(POD, self.namespace, OWNER_UID)
                self.turn(pods)
            except ApiError as error:
                if error.status not in (0, 404, 500, 503):  # the namespace or the API server is away
                    raise
            time.sleep(0.1)

    def turn(self, pods: Iterable[Object]) -> bool:
        """One write for each pod that needs one, once for each version of it; whether there was any."""
        found = False
        for pod in pods:
            version = (pod["metadata"]["uid"], pod["metadata"]["resourceVersion"])
            if version not in self._written and self._try(pod):
                self._written.add(version)
                found = True
        return found

    def _try(self, pod: Object) -> bool:
        try:
            return self._step(pod)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            return True  # gone or changed meanwhile

    def _step(self, pod: Object) -> bool:
        metadata, status = pod["metadata"], pod.get("status") or {}
        if over(pod):
            return metadata.get("deletionTimestamp") is not None and self._remove(pod)
        ending = self.script(request_of(pod))
        if metadata.get("deletionTimestamp"):
            return not ending.stubborn and self._end(pod, Ending(code=143))
        if ending.unschedulable:
            return self._unschedulable(pod, ending.unschedulable)
        if not pod["spec"].get("nodeName"):
            return self._bind(pod)
        if ending.waiting is not None:
            state = {"waiting": {"reason": ending.waiting[0], "message": ending.waiting[1]}}
            if not ending.sidecar:
                return self._status(pod, "Pending", state)
            initial = _entry(pod["spec"]["initContainers"][0], state)
            return self._status(
                pod, "Pending", {"waiting": {"reason": "PodInitializing"}}, {"initContainerStatuses": [initial]}
            )
        if not _running(status):
            self.started.append(metadata["name"])
            return self._status(pod, "Running", {"running": {"startedAt": now()}})
        return not ending.hold and self._end(pod, ending)

    def _bind(self, pod: Object) -> bool:
        metadata = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "scripted"},
        }
        path = POD.path(metadata["namespace"], metadata["name"]) + "/binding"
        self.api._json("bind", "POST", POD, path, None, body)
        return True

    def _unschedulable(self, pod: Object, words: str) -> bool:
        said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
        known = bool(pod["status"].get("conditions"))
        return not known and self._patch(pod, {"phase": "Pending", "conditions": [said]})

    def _end(self, pod: Object, ending: Ending) -> bool:
        said = ending.said if ending.said is not None else self._result(request_of(pod)) if ending.code == 0 else None
        if said is not None:
            self.said[pod["metadata"]["name"]] = said
        terminated = {
            "exitCode": ending.code,
            "reason": ending.reason or ("Completed" if ending.code == 0 else "Error"),
            "startedAt": now(),
            "finishedAt": now(),
            "message": said.to_message() if said is not None else "",
        }
        phase = "Succeeded" if ending.code == 0 else "Failed"
        more: Object = {"reason": ending.pod_reason} if ending.pod_reason else {}
        if ending.disrupted:
            more["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
        return self._status(pod, phase, {"terminated": terminated}, more)

    def _result(self, request: StepRequest) -> StepResult:
        """A report finds what a finished attempt has said."""
        if isinstance(request.parameters, ReportParameters):
            path = request.parameters.attempt_path
            return next((one for one in list(self.said.values()) if one.path == path), result(request))
        return result(request)

    def _status(self, pod: Object, phase: str, state: Object, more: Object | None = None) -> bool:
        before = pod.get("status") or {}
        entry = _entry(pod["spec"]["containers"][0], state)
        if before.get("phase") == phase and (before.get("containerStatuses") or [{}])[0].get("state") == state:
            return False
        return self._patch(pod, {"phase": phase, "containerStatuses": [entry]} | (more or {}))

    def _patch(self, pod: Object, status: Object) -> bool:
        path = POD.path(pod["metadata"]["namespace"], pod["metadata"]["name"]) + "/status"
        self.api._json("patch", "PATCH", POD, path, None, {"status": status}, "application/merge-patch+json")
        return True

    def _remove(self, pod: Object) -> bool:
        metadata = pod["metadata"]
        path = POD.path(metadata["namespace"], metadata["name"])
        self.api._json("delete", "DELETE", POD, path, None, {"gracePeriodSeconds": 0})
        return True


def _entry(container: Object, state: Object) -> Object:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }


def request_of(pod: Object) -> StepRequest:
    """What the pod's step is asked."""
    env = pod["spec"]["containers"][0]["env"]
    text = next(entry["value"] for entry in env if entry["name"] == "FLYWHEEL_REQUEST")
    return StepRequest.model_validate(json.loads(text.replace("$$", "$")))


def over(pod: Object) -> bool:
    """Its containers are not coming back."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _running(status: Object) -> bool:
    return any((entry.get("state") or {}).get("running") for entry in status.get("containerStatuses") or [])


def now() -> str:
    """As the kubelet writes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
