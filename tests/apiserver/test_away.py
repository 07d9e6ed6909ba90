"""The API server is frozen: the operator says that it is not ready, is never killed for it, and goes on afterwards."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

from bed_node import DONE, HOLD
from bed_operator import OperatorProcess
from bed_resources import curriculum, run

from conftest import Bed

ONCE = {"prepare": 1, "validate": 2, "preflight": 1, "exam": 1, "answer": 1, "evaluate": 1, "train": 1, "test": 1}


def test_frozen_api_server(bed: Bed, tmp_path: Path) -> None:
    """SIGSTOP while a step runs: readyz turns red, healthz stays green; SIGCONT: green again, each step made once."""
    bed.node.script = lambda request: HOLD if request.step == "exam" else DONE
    operator = OperatorProcess(bed.plane, bed.namespace, tmp_path / "operator.log")
    operator.start()
    bed.apply(curriculum(bed.namespace), run(bed.namespace, iterations=1))
    bed.until("the exam", lambda: [name for name in bed.node.started if "-exam-" in name])
    bed.until("readiness", lambda: operator.answers("readyz")[0] == 200)
    alive: Counter[int] = Counter()

    def ready_is(code: int) -> bool:
        if operator.ended():  # a leader that cannot renew its Lease leaves; the kubelet starts it again
            operator.start()
        # 0: it is starting
        alive[operator.answers("healthz")[0]] += 1
        return operator.answers("readyz")[0] == code

    server = bed.plane.processes["kube-apiserver"]
    server.send_signal(signal.SIGSTOP)
    try:
        bed.until("not ready", lambda: ready_is(503))
    finally:
        server.send_signal(signal.SIGCONT)
    bed.node.script = lambda _request: DONE
    bed.until("ready again", lambda: ready_is(200))
    bed.until_completed()
    assert Counter(job["metadata"]["labels"]["flywheel.dev/step"] for job in bed.jobs()) == ONCE
    assert set(alive) <= {200, 0} and alive[200], f"healthz answered {alive}"
    assert operator.stop() == 0
