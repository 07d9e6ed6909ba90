"""Serving pods in memory, found by their addresses: they load what the publish Jobs of their namespace left on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from flywheel.api.result import PublishFigures, StepResult
from flywheel.controller.client import Api
from flywheel.controller.resources import ENDPOINT_SLICE, SERVICE
from flywheel.serving.calls import Call, CallFailure, Endpoint, LoadModel, ServingPodView
from flywheel.serving.names import candidate_name

Object = dict[str, Any]
MODEL, PORT = "severity", 8001


@dataclass
class ServingPod:
    """One server. `published`: what the namespace's Jobs reported, in order."""

    published: Iterable[StepResult]
    models: dict[str, str] = field(default_factory=dict[str, str])
    calls: list[str] = field(default_factory=list[str])

    def look(self, endpoint: Endpoint) -> ServingPodView:
        """As TritonPod tells."""
        candidates = {name: revision for name, revision in self.models.items() if name != MODEL}
        return ServingPodView(endpoint, revision=self.models.get(MODEL), candidates=candidates)

    def do(self, call: Call) -> None:
        """Load what the disk holds under that name, or unload."""
        if isinstance(call, LoadModel):
            assert self._disk(call.model) == call.revision, f"the disk holds no {call.revision} as {call.model}"
            self.calls.append(f"load {call.model}")
            self.models[call.model] = call.revision
        else:
            self.models.pop(call.model, None)

    def _disk(self, model: str) -> str | None:
        found = [said.figures for said in self.published if isinstance(said.figures, PublishFigures)]
        phase = "commit" if model == MODEL else "stage"
        fits = [
            one.adapter for one in found if one.phase == phase and model in (MODEL, candidate_name(MODEL, one.adapter))
        ]
        return fits[-1] if fits else None


class Serving:
    """All serving pods of all namespaces. Stands in for look_at_all and perform."""

    def __init__(self) -> None:
        self._pods: dict[str, ServingPod] = {}
        self._numbers = count(1)  # stories are told at once: no two pods have one address

    def start(self, api: Api, namespace: str, published: Iterable[StepResult]) -> list[ServingPod]:
        """A Service with two pods."""
        service = {"metadata": {"name": "triton"}, "spec": {"ports": [{"port": PORT}]}}
        api.create(SERVICE, namespace, service)
        started: list[ServingPod] = []
        endpoints: list[Object] = []
        for name in ("triton-0", "triton-1"):
            number = next(self._numbers)
            address = f"10.9.{number // 250}.{number % 250 + 1}"
            self._pods[f"{address}:{PORT}"] = pod = ServingPod(published)
            started.append(pod)
            endpoints.append({"addresses": [address], "targetRef": {"kind": "Pod", "name": name}})
        slices = {
            "metadata": {"name": "triton", "labels": {"kubernetes.io/service-name": "triton"}},
            "addressType": "IPv4",
            "endpoints": endpoints,
        }
        api.create(ENDPOINT_SLICE, namespace, slices)
        return started

    def look_at_all(self, endpoints: Sequence[Endpoint], *_: Any) -> tuple[ServingPodView, ...]:
        """What each pod serves."""
        return tuple(self._pods[endpoint.address].look(endpoint) for endpoint in endpoints)

    def perform(self, calls: Sequence[Call], *_: Any) -> tuple[CallFailure, ...]:
        """None of them fails."""
        for call in calls:
            self._pods[call.endpoint.address].do(call)
        return ()
