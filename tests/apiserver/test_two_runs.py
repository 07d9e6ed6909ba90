"""Two runs on one Curriculum and one AdapterDeployment: the newest candidate ends up serving, each is staged once.

Pods of the server are played: they load what scripted publish steps have put on disk.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from bed_node import DONE, HOLD, Ending, now
from bed_resources import curriculum, deployment, run
from conftest import Bed

from flywheel.api.request import PublishParameters, StepRequest
from flywheel.controller.resources import DEPLOYMENT, RUN

SERVICE = """
{apiVersion: v1, kind: Service, metadata: {name: triton}, spec: {clusterIP: None, ports: [{port: 8001}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: triton, labels: {kubernetes.io/service-name: triton}}
addressType: IPv4
endpoints:
- {addresses: [10.0.0.7], conditions: {ready: true}, targetRef: {kind: Pod, name: triton-0}}
"""


class Server:
    """One pod's server, and the disk that it loads from."""

    def __init__(self) -> None:
        self.disk: dict[str, str] = {}
        self.models: dict[str, str] = {}

    def publish(self, asked: PublishParameters) -> None:
        """What the step does to the server's repository."""
        self.disk[asked.candidate_model if asked.phase == "stage" else asked.model] = asked.adapter_digest

    def pod(self, *_: Any) -> Server:
        """As the driver opens a pod."""
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def loaded(self) -> list[str]:
        return sorted(self.models)

    def revision(self, model: str) -> str:
        return self.models[model]

    def load(self, model: str, revision: str) -> None:
        assert self.disk[model] == revision
        self.models[model] = revision

    def unload(self, model: str) -> None:
        self.models.pop(model, None)


def test_one_deployment(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer run's adapter replaces the older's, and stays when the newer run is deleted; no step is done twice."""
    server, held = Server(), {"newer"}
    monkeypatch.setattr("flywheel.serving.triton.TritonPod", server.pod)

    def script(request: StepRequest) -> Ending:
        if isinstance(request.parameters, PublishParameters):
            server.publish(request.parameters)
        return HOLD if request.owner in held and request.step == "train" else DONE

    bed.node.script = script
    bed.operator()
    bed.plane.kubectl("-n", bed.namespace, "create", "-f", "-", stdin=SERVICE)
    target = {"deploymentRef": {"name": "severity"}}
    bed.apply(curriculum(bed.namespace), deployment(bed.namespace), run(bed.namespace, "older", 1, **target))
    created = bed.get(RUN, "older")["metadata"]["creationTimestamp"]
    bed.until("a later second", lambda: now() > created)
    bed.apply(run(bed.namespace, "newer", 1, **target))
    bed.until("the older adapter serves", lambda: serving(bed) == "older")
    held.clear()
    bed.until("the newer adapter serves", lambda: serving(bed) == "newer")
    digest = bed.get(RUN, "newer")["status"]["candidate"]["digest"]
    bed.until("nothing else is loaded", lambda: server.models == {"severity": digest})
    bed.plane.kubectl("-n", bed.namespace, "delete", "fwr", "newer")
    bed.until(
        "seen", lambda: not [job for job in bed.jobs() if job["metadata"]["labels"]["flywheel.dev/owner"] == "newer"]
    )
    bed.patch(DEPLOYMENT, "severity", {"verification": {"probes": 21}})  # a change of spec is looked at once
    bed.until("looked at", lambda: bed.get(DEPLOYMENT, "severity")["status"]["observedGeneration"] == 2)
    assert serving(bed) == "newer" and server.models == {"severity": digest}
    rollouts = [
        job for job in bed.jobs() if job["metadata"]["labels"]["flywheel.dev/owner-kind"] == "AdapterDeployment"
    ]
    steps = Counter(job["metadata"]["labels"]["flywheel.dev/step"] for job in rollouts)
    assert steps == {"stage": 2, "verify": 2, "commit": 2}
    assert len(bed.jobs("prepare")) == 1


def serving(bed: Bed) -> str | None:
    """The run whose adapter the deployment says is serving."""
    return ((bed.get(DEPLOYMENT, "severity").get("status") or {}).get("serving") or {}).get("run")
