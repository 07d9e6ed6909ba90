"""Many runs at once: none is forgotten, none is done twice, and the API server is not flooded."""

from __future__ import annotations

from collections import Counter

from bed_node import DONE, HOLD
from bed_resources import curriculum, run

from conftest import Bed
from flywheel.controller.resources import RUN

RUNS = 50


def test_fifty_runs(bed: Bed) -> None:
    """All of them start their first step, once."""
    bed.node.script = lambda request: DONE if request.step == "prepare" else HOLD
    bed.operator()
    bed.apply(curriculum(bed.namespace))
    items = [run(bed.namespace, f"run-{number:02}") for number in range(RUNS)]
    bed.apply({"apiVersion": "v1", "kind": "List", "items": items})
    bed.until("50 first steps", lambda: len(bed.jobs("validate")) == RUNS)
    per_owner = Counter(job["metadata"]["labels"]["flywheel.dev/owner"] for job in bed.jobs("validate"))
    assert set(per_owner.values()) == {1}
    runs, _ = bed.api.list(RUN, bed.namespace)
    assert {entry["status"]["step"] for entry in bed.until("statuses", lambda: _all_have_status(bed))} == {"validate"}
    assert len(runs) == RUNS


def _all_have_status(bed: Bed) -> list[dict[str, dict[str, str]]]:
    runs, _ = bed.api.list(RUN, bed.namespace)
    return runs if all((entry.get("status") or {}).get("step") for entry in runs) else []
