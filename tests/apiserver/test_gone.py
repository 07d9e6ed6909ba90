"""410 Gone: what was deleted while the operator's process was frozen is found, though no event will ever tell of it."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from bed_control_plane import ControlPlane
from bed_node import DONE, HOLD
from bed_operator import OperatorProcess
from bed_resources import curriculum, run
from bed_table import add_row
from conftest import Bed, as_admin, made_bed, with_operator

from flywheel.controller.resources import JOB, RUN


@pytest.fixture
def own_bed(tmp_path: Path) -> Iterator[Bed]:
    """A control plane of its own: its history is thrown away and its API server restarted."""
    for plane in with_operator(tmp_path):
        with made_bed(plane, as_admin(plane), "gone") as bed:
            yield bed


def test_deleted_while_frozen(own_bed: Bed, tmp_path: Path) -> None:
    """A Job and a run are deleted and history is thrown away: the step is done again, the other run is forgotten."""
    bed = own_bed
    bed.node.script = lambda request: HOLD if request.step == "exam" else DONE
    operator = OperatorProcess(bed.plane, bed.namespace, tmp_path / "operator.log")
    operator.start()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1), run(bed.namespace, "second"))
    bed.until("two exams", lambda: len([name for name in bed.node.started if "-exam-" in name]) == 2)
    bed.until("the second run's figures", lambda: 'name="second"' in _metrics(operator))
    with operator.frozen():
        _, before = bed.api.list(JOB, None)
        bed.plane.kubectl("-n", bed.namespace, "delete", "fwr/second", "--wait=false")
        bed.plane.kubectl("-n", bed.namespace, "delete", "jobs", "-l", "flywheel.dev/step=exam", "--wait=false")
        bed.until("no exam", lambda: not bed.jobs("exam") and bed.api.get(RUN, bed.namespace, "second") is None)
        bed.plane.forget_history()
        assert _watch(bed.plane, before) == 410
        bed.node.script = lambda _request: DONE
    done = bed.until_completed()
    accepted = {entry["name"]: entry["attempt"] for entry in done["status"]["history"][0]["steps"]}
    # The second exam only looked whether the first had left a result.
    assert accepted == dict.fromkeys(("answer", "evaluate", "train", "validate", "test"), 1) | {"exam": 3}
    bed.until("the second run is forgotten", lambda: 'name="second"' not in _metrics(operator))
    assert operator.alive and operator.stop() == 0
    row = add_row("the process", "410 Gone after deletions")
    row.cases = row.converged = 1


def _metrics(operator: OperatorProcess) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def _watch(plane: ControlPlane, version: int) -> int:
    """What a watch of Jobs from this version is told first."""
    said = plane.kubectl(
        "get", "--raw", f"/apis/batch/v1/jobs?watch=1&timeoutSeconds=2&resourceVersion={version}", check=False
    )
    return 410 if "410" in said or "too old resource version" in said else 200
