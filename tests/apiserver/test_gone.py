"""410 Gone: what was deleted while the operator was cut off is found, though no event will ever tell of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bed_node import DONE, HOLD
from bed_proxy import Proxy
from bed_resources import curriculum, run
from faults_table import AddRow

from conftest import Bed, as_admin, made_bed, with_operator
from flywheel.controller.resources import RUN


@pytest.fixture
def own_bed(tmp_path: Path) -> Iterator[Bed]:
    """A control plane of its own: its history is thrown away and its API server restarted."""
    for plane in with_operator(tmp_path):
        with made_bed(plane, as_admin(plane), "gone") as bed:
            yield bed


def test_deleted_while_cut_off(own_bed: Bed, tmp_path: Path, add_row: AddRow) -> None:
    """A Job and a run are deleted and history is thrown away: the step is done again, the other run is forgotten."""
    bed, proxy = own_bed, Proxy(own_bed.plane)
    proxy.start()
    bed.node.script = lambda request: HOLD if request.step == "exam" else DONE
    operator = bed.operator(kubeconfig=proxy.kubeconfig(bed.plane, tmp_path / "kubeconfig"))
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1), run(bed.namespace, "second"))
    bed.until("two exams", lambda: len([name for name in bed.node.started if "-exam-" in name]) == 2)
    bed.until("the second run's figures", lambda: operator.metrics.registry.get_sample_value(*_second(bed)) == 1)
    with proxy.cut_off():
        bed.plane.kubectl("-n", bed.namespace, "delete", "fwr/second", "--wait=false")
        bed.plane.kubectl("-n", bed.namespace, "delete", "jobs", "-l", "flywheel.dev/step=exam", "--wait=false")
        bed.until("no exam", lambda: not bed.jobs("exam") and bed.api.get(RUN, bed.namespace, "second") is None)
        bed.plane.forget_history()
        bed.node.script = lambda _request: DONE
    done = bed.until_completed()
    assert proxy.gone, "the operator was never told 410 Gone"
    accepted = {entry["name"]: entry["attempt"] for entry in done["status"]["history"][0]["steps"]}
    # The second exam only looked whether the first had left a result.
    assert accepted == dict.fromkeys(("answer", "evaluate", "train", "validate", "test"), 1) | {"exam": 3}
    bed.until("nothing of the second run", lambda: operator.metrics.registry.get_sample_value(*_second(bed)) is None)
    add_row("the process", "cut off, and 410 Gone").count(1, [], [])


def _second(bed: Bed) -> tuple[str, dict[str, str]]:
    return "flywheel_run_iteration", {"namespace": bed.namespace, "name": "second"}
