"""Rollouts under load: `python tests/bench/rollouts.py [requests per second] [idle seconds] [SCENARIO ...]`.

Else 50, 20 and all scenarios. Two real tritonservers on one repository, a tiny student, and the load of
tests/serving/load.py: open loop, half of the requests on new connections. A request that finds its pod gone is sent
once more, to the other: those are counted as retries. The operator is the real decision, driver and steps; what it
waits for (back-offs) takes no time here. Printed for each scenario: requests, failures, retries, latency from the time
that a request was due, and the seconds from the offer of the candidate until every pod serves what it should.
Goal: 0 failures. Exits 1 where it is missed.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from serving.load import Load
from serving.scenarios import SCENARIOS, Stage, run, two_pods
from serving.server import Server, installed_server, make_models, ml_environment


def main(per_second: float, idle_seconds: float, names: list[str]) -> int:
    """One scenario after the other."""
    print(
        f"open loop, {per_second:g} requests/s, 2 pods, {os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f}"
    )
    started: list[Server] = []
    with tempfile.TemporaryDirectory() as folder:
        python = ml_environment()
        triton, models = installed_server(python), make_models(python, Path(folder) / "models")

        def start(repository: Path | None = None) -> Server:
            place = repository or Path(folder) / "repository"
            place.mkdir(exist_ok=True)
            log = Path(folder) / f"log{len(started)}"
            started.append(Server(place, models.home / "base", triton, python, log))
            started[-1].start()
            return started[-1]

        try:
            return measure(two_pods(start, models, Path(folder)), per_second, idle_seconds, names)
        finally:
            for server in started:
                server.stop()


def measure(stage: Stage, per_second: float, idle_seconds: float, names: list[str]) -> int:
    """The table; 1 where a request failed."""
    print("| scenario | requests | failures | retries | p50 ms | p99 ms | seconds to all pods |")
    print("|---|---|---|---|---|---|---|")
    with stage.load(per_second) as idle:
        time.sleep(idle_seconds)
    print(row("idle", idle, None), flush=True)
    failed = len(idle.failures)
    for scenario in SCENARIOS:
        if not names or scenario.__name__ in names:
            load, seconds = run(stage, scenario, per_second)
            print(row(scenario.__name__, load, seconds), flush=True)
            failed += len(load.failures)
            for failure in load.failures[:5]:
                print(f"  {failure}", file=sys.stderr)
    return 1 if failed else 0


def row(name: str, load: Load, seconds: float | None) -> str:
    """One line."""
    latencies = sorted(1000 * (answer.done - answer.due) for answer in load.answers) or [math.nan]
    half, most = (latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.99))
    requests = len(load.answers) + len(load.failures)
    took = "" if seconds is None else f"{seconds:.0f}"
    return f"| {name} | {requests} | {len(load.failures)} | {load.retries} | {half:.0f} | {most:.0f} | {took} |"


if __name__ == "__main__":
    per_second, idle_seconds, *names = [*sys.argv[1:], *("50", "20")[len(sys.argv) - 1 :]]
    sys.exit(main(float(per_second), float(idle_seconds), names))
