"""Many runs at once: none is forgotten, none is done twice, and nothing of them is left when they are gone."""

from __future__ import annotations

from collections import Counter

from bed_node import DONE, HOLD
from bed_operator import ThreadedOperator
from bed_resources import curriculum, run

from conftest import Bed
from flywheel.controller.resources import RUN

RUNS = 50


def test_fifty_runs(bed: Bed) -> None:
    """All of them start their first step, once."""
    bed.node.script = lambda request: DONE if request.step == "prepare" else HOLD
    operator = bed.operator()
    bed.apply(curriculum(bed.namespace))
    items = [run(bed.namespace, f"run-{number:02}") for number in range(RUNS)]
    bed.apply({"apiVersion": "v1", "kind": "List", "items": items})
    bed.until("50 first steps", lambda: len(bed.jobs("validate")) == RUNS)
    per_owner = Counter(job["metadata"]["labels"]["flywheel.dev/owner"] for job in bed.jobs("validate"))
    assert set(per_owner.values()) == {1}
    runs, _ = bed.api.list(RUN, bed.namespace)
    assert {entry["status"]["step"] for entry in bed.until("statuses", lambda: _all_have_status(bed))} == {"validate"}
    assert len(runs) == RUNS
    assert len(_named_series(operator)) >= RUNS
    bed.plane.kubectl("delete", "fwr", "--all", "-n", bed.namespace, "--wait=false")
    bed.until("no run", lambda: not bed.api.list(RUN, bed.namespace)[0])
    bed.until("no series of a run", lambda: not _named_series(operator))


def _named_series(operator: ThreadedOperator) -> list[str]:
    """Series of metrics that name a run: they come and must go with it."""
    families = operator.metrics.registry.collect()
    return [sample.name for family in families for sample in family.samples if "run-" in sample.labels.get("name", "")]


def _all_have_status(bed: Bed) -> list[dict[str, dict[str, str]]]:
    runs, _ = bed.api.list(RUN, bed.namespace)
    return runs if all((entry.get("status") or {}).get("step") for entry in runs) else []
