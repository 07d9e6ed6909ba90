"""A stand-in for Kueue's controller of batch/v1 Jobs; no part of Kueue runs here.

It does to Jobs what Kueue v0.20.0-devel-377-gff69552e does in pkg/controller/jobs/job and
pkg/controller/jobframework/reconciler.go, and reads nothing else of them:
- a Job is its own only where the label kueue.x-k8s.io/queue-name names a queue, and until it is Complete or Failed;
- one that is not suspended and not admitted is stopped (reconciler.go, step 8), so nothing runs without admission;
- admission writes, in one patch, suspend: false and what the flavour and the workload add to the pod template: labels,
  node selector, tolerations (RunWithPodSetsInfo, podset.Merge);
- eviction is three writes (Stop): suspend: true with the annotation kueue.x-k8s.io/stopping, status.startTime away, the
  template as it was and the annotation away. The same Job is admitted again later.
The real kube-controller-manager makes and removes pods, and tells of it by the condition Suspended.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from bed_driver import ended

from flywheel.api.jobs import QUEUE_LABEL
from flywheel.controller.client import Api, ApiError
from flywheel.controller.resources import JOB

Object = dict[str, Any]
STOPPING = "kueue.x-k8s.io/stopping"
FLAVOUR = {"cloud.example.com/accelerator": "h100"}
TAINTED = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
PODSET = {"kueue.x-k8s.io/podset": "main"}


@dataclass
class Queue:
    """One LocalQueue of a namespace. Closed, it admits nothing; open, everything at once."""

    api: Api
    namespace: str
    name: str
    open: bool = False
    admitted: set[str] = field(default_factory=set[str])
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Queue:
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def evict(self, name: str) -> None:
        """Take the admission of a Job back, and admit nothing from now on."""
        with self._lock:
            self.open = False
            self.admitted.discard(name)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for job in self.api.list(JOB, self.namespace, f"{QUEUE_LABEL}={self.name}")[0]:
                    with self._lock:
                        self._reconcile(job)
            except ApiError as error:
                # Gone or changed meanwhile, the API server is away, or pods of that template still end: tried again, as
                # Kueue does.
                if error.status not in (0, 404, 409, 422, 500, 503):
                    raise
            time.sleep(0.05)

    def _reconcile(self, job: Object) -> None:
        name = job["metadata"]["name"]
        if ended(job) or job["metadata"].get("deletionTimestamp"):
            return
        if self.open:
            self.admitted.add(name)
        stopping = STOPPING in (job["metadata"].get("annotations") or {})
        suspended = bool(job["spec"].get("suspend")) and not stopping
        if suspended and name in self.admitted:
            template = {"metadata": {"labels": PODSET}, "spec": {"nodeSelector": FLAVOUR, "tolerations": [TAINTED]}}
            self.api.patch(JOB, self.namespace, name, {"spec": {"suspend": False, "template": template}})
        elif not suspended and (stopping or name not in self.admitted):  # an eviction that began is ended first
            self._evicted(name)

    def _evicted(self, name: str) -> None:
        mark = {"metadata": {"annotations": {STOPPING: "true"}}, "spec": {"suspend": True}}
        self.api.patch(JOB, self.namespace, name, mark)
        path = JOB.path(self.namespace, name) + "/status"
        nothing = {"status": {"startTime": None}}
        self.api._json("patch", "PATCH", JOB, path, None, nothing, "application/merge-patch+json")
        template = {
            "metadata": {"labels": dict.fromkeys(PODSET)},
            "spec": {"nodeSelector": dict.fromkeys(FLAVOUR), "tolerations": None},
        }
        restored = {"metadata": {"annotations": {STOPPING: None}}, "spec": {"template": template}}
        self.api.patch(JOB, self.namespace, name, restored)
