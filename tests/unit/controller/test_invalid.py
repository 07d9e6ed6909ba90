"""A resource that does not fit its type: Stalled is said, and nothing else of its status is lost."""

from __future__ import annotations

from typing import Any

from resources import NOW, metadata, run_spec

from flywheel.api.conditions import Reason
from flywheel.controller.apply import Subject, Tools
from flywheel.controller.cache import Cache
from flywheel.controller.invalid import stall
from flywheel.controller.resources import RUN
from flywheel.controller.settings import Settings


class _Api:
    """Takes every write."""

    def __init__(self) -> None:
        self.statuses: list[dict[str, Any]] = []
        self.events: list[str] = []

    def update_status(self, _kind: Any, _namespace: str, _name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.statuses.append(body["status"])
        return {"metadata": metadata("run"), "spec": run_spec(), "status": body["status"]}

    def create(self, _kind: Any, _namespace: str, body: dict[str, Any]) -> None:
        self.events.append(body["reason"])


def stalled(status: dict[str, Any]) -> _Api:
    api: Any = _Api()
    tools = Tools(api, Cache(), Settings(images={}, template=""), lambda: None)
    subject = Subject(RUN, "review", "run", metadata("run")["uid"], "7", 3)
    for _ in range(2):
        raw = {"metadata": metadata("run"), "status": api.statuses[-1] if api.statuses else status}
        stall(tools, subject, raw, Reason.SPEC_INVALID, "spec.seed: must be a number", NOW)
    return api


def test_it_is_said_once_and_the_rest_of_status_stays() -> None:
    kept = {"best": {"what": "a later version wrote"}, "history": "nonsense"}
    api = stalled(kept | {"conditions": [{"type": "Ready", "status": "Perhaps"}]})
    (status,) = api.statuses
    assert status.items() >= kept.items() and status["observedGeneration"] == 3
    assert {entry["type"]: entry["status"] for entry in status["conditions"]} == {"Ready": "False", "Stalled": "True"}
    assert api.events == ["SpecInvalid"]


def test_an_ended_run_stays_ended() -> None:
    said = {"status": "True", "reason": "Plateau", "message": "m", "lastTransitionTime": NOW.isoformat()}
    api = stalled({"conditions": [said | {"type": "Completed"}], "endedAt": NOW.isoformat()})
    assert not api.statuses and not api.events
