"""What happens to resources in a namespace, from beginning to end, when nothing goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bed_driver import Act, View
from bed_node import DONE, HOLD, Ending, Script
from bed_resources import curriculum, deployment, run
from bed_results import digest

from flywheel.api.request import StepRequest
from flywheel.controller.client import Api
from flywheel.controller.resources import DEPLOYMENT, JOB, OWNERS, POD, RUN, Resource

Object = dict[str, Any]
KINDS: dict[str, Resource] = {kind.kind: kind for kind in OWNERS}


def _all_done(_request: StepRequest) -> Ending:
    return DONE


@dataclass(frozen=True)
class Story:
    """Resources, how their pods end, what the user does meanwhile, and when it is over."""

    name: str
    resources: Callable[[str], list[Object]]
    done: Callable[[View], bool]
    script: Script = _all_done
    acts: tuple[Act, ...] = ()
    status: Object = field(default_factory=dict[str, Any])  # of the run, from before

    def begin(self, api: Api, namespace: str) -> None:
        """Create the resources."""
        for resource in self.resources(namespace):
            kind = KINDS[resource["kind"]]
            api.create(kind, namespace, resource)
        if self.status:
            path = RUN.path(namespace, "first") + "/status"
            body = {"status": self.status}
            api._json("patch", "PATCH", RUN, path, None, body, "application/merge-patch+json")


def condition(view: View, kind: Resource, name: str, type_: str) -> str:
    """Reason of a condition that is True; empty where it is not."""
    found = view.status(kind, name).get("conditions") or []
    return next((entry["reason"] for entry in found if entry["type"] == type_ and entry["status"] == "True"), "")


def completed(reason: str) -> Callable[[View], bool]:
    """Whether the run ended so."""
    return lambda view: condition(view, RUN, "first", "Completed") == reason


def _first_exam_runs(view: View) -> bool:
    return any("-1-exam-1-" in pod["metadata"]["name"] and _started(pod) for pod in view.all(POD))


def _next_exam_runs(view: View) -> bool:
    return any("-1-exam-" in pod["metadata"]["name"] and _started(pod) for pod in view.all(POD))


def _started(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"


def _suspended(view: View) -> bool:
    ready = [entry for entry in view.status(RUN, "first").get("conditions") or [] if entry["type"] == "Ready"]
    at_work = [job for job in view.all(JOB) if "-exam-" in job["metadata"]["name"]]
    return bool(ready) and ready[0]["reason"] == "Suspended" and not at_work


def whole(iterations: int) -> Story:
    """A Curriculum and a run, to the last iteration."""
    return Story(
        name=f"{iterations}-iterations",
        resources=lambda namespace: [curriculum(namespace), run(namespace, iterations=iterations)],
        done=completed("MaxIterations"),
    )


# Suspended in the exam, resumed, and stopped in the next attempt: Jobs are deleted.
SUSPENDED = Story(
    name="suspended",
    resources=lambda namespace: [curriculum(namespace), run(namespace, iterations=1)],
    done=completed("Stopped"),
    script=lambda request: HOLD if request.step == "exam" else DONE,
    acts=(
        Act(_first_exam_runs, RUN, "first", {"suspend": True}),
        Act(_suspended, RUN, "first", {"suspend": False}),
        Act(_next_exam_runs, RUN, "first", {"stop": {"now": True}}),
    ),
)


def _step(name: str) -> Object:
    return {"name": name, "attempt": 1, "digest": digest(name)}


# The candidate of a run that has ended comes into service.
ROLLOUT = Story(
    name="rollout",
    resources=lambda namespace: [
        run(namespace, deploymentRef={"name": "severity"}),
        deployment(namespace),
    ],
    done=lambda view: condition(view, DEPLOYMENT, "severity", "Ready") == "Serving",
    status={
        "endedAt": "2026-11-21T06:00:00Z",
        "workspace": {"persistentVolumeClaim": {"claimName": "flywheel"}},
        "candidate": {
            "iteration": 2,
            "digest": digest("adapter"),
            **{field: _step(name) for field, name in (("train", "train"), ("validated", "validate"), ("test", "test"))},
        },
        "conditions": [
            {
                "type": type_,
                "status": "True",
                "reason": "MaxIterations",
                "message": "all 2 iterations are done",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-11-21T06:00:00Z",
            }
            for type_ in ("Ready", "Completed")
        ],
    },
)

STORIES = (whole(2), SUSPENDED, ROLLOUT)
