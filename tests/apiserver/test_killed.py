"""The operator killed in the middle of each step: the same outcome, one accepted attempt a step, no Job made twice."""

from __future__ import annotations

import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from bed_node import DONE, HOLD
from bed_operator import OperatorProcess
from bed_resources import curriculum, run
from conftest import Bed

from flywheel.controller.resources import RUN

STEPS = ("validate", "exam", "answer", "evaluate", "train", "validate", "test")
ONCE = {"prepare": 1, "validate": 2, "exam": 1, "answer": 1, "evaluate": 1, "train": 1, "test": 1}


def test_killed_in_every_step(bed: Bed) -> None:
    """Dead while a step runs, and back after it ended."""
    held = {"validate"}
    bed.node.script = lambda request: HOLD if request.step in held else DONE
    operator = bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
    for number, step in enumerate(STEPS):
        wanted = f"-{min(number, 1)}-{step}-1-"
        bed.until(f"{step} runs", lambda wanted=wanted: [name for name in bed.node.started if wanted in name])
        operator.crash()
        bed.operators.remove(operator)
        held.clear()
        bed.until(f"{step} ends", lambda step=step: all(_ended(job) for job in bed.jobs(step)))
        held.update(STEPS[number + 1 : number + 2])
        operator = bed.operator()
    done = bed.until_completed()
    accepted = {entry["name"]: entry["attempt"] for entry in done["status"]["history"][0]["steps"]}
    assert accepted == dict.fromkeys(("exam", "answer", "evaluate", "train", "validate", "test"), 1)
    assert Counter(job["metadata"]["labels"]["flywheel.dev/step"] for job in bed.jobs()) == ONCE


def test_process(bed: Bed, tmp_path: Path) -> None:
    """The process that the pod runs: SIGKILL in the exam, started again, probes and metrics answer, SIGTERM ends it."""
    bed.node.script = lambda request: HOLD if request.step == "exam" else DONE
    operator = OperatorProcess(bed.plane, bed.namespace, tmp_path / "operator.log")
    operator.start()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
    bed.until("the exam", lambda: [name for name in bed.node.started if "-exam-" in name])
    operator.kill()
    bed.node.script = lambda _request: DONE
    operator.start()
    bed.until_completed()
    assert Counter(job["metadata"]["labels"]["flywheel.dev/step"] for job in bed.jobs()) == ONCE
    for path in ("healthz", "readyz", "metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/{path}", timeout=5) as answer:
            assert answer.status == 200
    assert operator.stop() == 0


def test_lost_write_is_found_again(bed: Bed) -> None:
    """A Job made just before the operator died, of which status says nothing, is adopted and not made twice."""
    bed.node.script = lambda request: HOLD if request.step == "exam" else DONE
    first = bed.operator()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
    bed.until("the exam", lambda: [name for name in bed.node.started if "-exam-" in name])
    first.crash()
    bed.operators.clear()
    path = RUN.path(bed.namespace, "first") + "/status"
    nothing = {"status": {"attempt": None}}
    bed.api._json("patch", "PATCH", RUN, path, None, nothing, "application/merge-patch+json")
    bed.node.script = lambda _request: DONE
    bed.operator()
    bed.until_completed()
    assert len(bed.jobs("exam")) == 1


def _ended(job: dict[str, Any]) -> bool:
    return any(entry["type"] in ("Complete", "Failed") for entry in job["status"].get("conditions") or [])
