"""Two runs on one Curriculum and one AdapterDeployment: the newest candidate ends up serving, each is staged once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from bed_node import HOLD, Stages, now
from bed_resources import curriculum, deployment, run
from bed_serving import MODEL, Serving

from conftest import Bed
from flywheel.controller.resources import DEPLOYMENT, RUN


def test_one_deployment(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer run's adapter replaces the older's, and stays when the newer run is deleted; no step is done twice."""
    serving = Serving()
    for name in ("look_at_all", "perform"):
        monkeypatch.setattr(f"flywheel.controller.reconcile_deployment.{name}", getattr(serving, name))
    pods = serving.start(bed.api, bed.namespace, bed.node.said.values())
    script = bed.node.script = Stages({("newer", 1, "train"): HOLD})
    bed.operator()
    target = {"deploymentRef": {"name": "severity"}}
    bed.apply(curriculum(bed.namespace), deployment(bed.namespace), run(bed.namespace, "older", 1, **target))
    created = bed.get(RUN, "older")["metadata"]["creationTimestamp"]
    bed.until("a later second", lambda: now() > created)
    bed.apply(run(bed.namespace, "newer", 1, **target))
    bed.until("the older adapter serves", lambda: serving_run(bed) == "older")
    script.clear()
    bed.until("the newer adapter serves", lambda: serving_run(bed) == "newer")
    digest = bed.get(RUN, "newer")["status"]["candidate"]["digest"]
    bed.until("nothing else is loaded", lambda: all(pod.models == {MODEL: digest} for pod in pods))
    bed.plane.kubectl("-n", bed.namespace, "delete", "fwr", "newer")
    bed.until("its Jobs gone", lambda: "newer" not in owners(bed))
    bed.patch(DEPLOYMENT, "severity", {"verification": {"probes": 21}})  # a change of spec is looked at once
    bed.until("it is looked at", lambda: bed.get(DEPLOYMENT, "severity")["status"]["observedGeneration"] == 2)
    assert serving_run(bed) == "newer" and all(pod.models == {MODEL: digest} for pod in pods)
    jobs = [job["metadata"]["labels"] for job in bed.jobs()]
    steps = Counter(marks["flywheel.dev/step"] for marks in jobs if marks["flywheel.dev/owner"] == "severity")
    assert steps == {"prepare": 1, "stage": 2, "verify": 2, "commit": 2}
    bed.apply(run(bed.namespace, "latest", 1, **target))
    bed.until("what serves is measured", lambda: "validation" in (status_of(bed, "latest").get("serving") or {}))
    incumbent = status_of(bed, "latest")["serving"]
    assert (incumbent["run"], incumbent["digest"]) == ("newer", digest), "whose run is gone"
    bed.until("it is better than that", lambda: serving_run(bed) == "latest")


def owners(bed: Bed) -> set[str]:
    """Names of the owners of all Jobs."""
    return {job["metadata"]["labels"]["flywheel.dev/owner"] for job in bed.jobs()}


def status_of(bed: Bed, name: str) -> dict[str, Any]:
    """Of a run."""
    return bed.get(RUN, name).get("status") or {}


def serving_run(bed: Bed) -> str | None:
    """The run whose adapter the deployment says is serving."""
    return ((bed.get(DEPLOYMENT, "severity").get("status") or {}).get("serving") or {}).get("run")
