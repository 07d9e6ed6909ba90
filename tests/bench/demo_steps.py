"""Figures of the demo's run in the current cluster: `python tests/bench/demo_steps.py [NAMESPACE] [RUN]`.

Per step: seconds its container ran, seconds from Job creation to the container's start, and the operator's own seconds
(from the end of the step before to this Job's creation; the API server's clock counts whole seconds). Then the memory
and API requests of the operator that leads, from its own metrics.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime
from typing import Any

OPERATOR = "flywheel-system"


def kubectl(*arguments: str) -> str:
    """Standard output of kubectl."""
    return subprocess.run(["kubectl", *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def leader() -> str:
    """The pod of the operator that leads: the other replica's metrics say nothing of the run."""
    query = ("get", "lease", "flywheel-operator", "-o", "jsonpath={.spec.holderIdentity}")
    pod = kubectl("-n", OPERATOR, *query).partition("_")[0]
    return pod or sys.exit("no replica of the operator leads: see `kubectl -n flywheel-system get pods,leases`")


def seconds(later: str, earlier: str) -> float:
    """Between two timestamps of the API server."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def steps(namespace: str, run: str) -> list[dict[str, Any]]:
    """One row per pod of the run, in order of creation."""
    listed = json.loads(kubectl("-n", namespace, "get", "pods", "-l", f"flywheel.dev/owner={run}", "-o", "json"))
    jobs = json.loads(kubectl("-n", namespace, "get", "jobs", "-l", f"flywheel.dev/owner={run}", "-o", "json"))
    created = {job["metadata"]["name"]: job["metadata"]["creationTimestamp"] for job in jobs["items"]}
    rows: list[dict[str, Any]] = []
    for pod in listed["items"]:
        labels = pod["metadata"]["labels"]
        ended = pod["status"]["containerStatuses"][0]["state"].get("terminated")
        if ended is None:
            continue
        rows.append(
            {
                "step": labels["flywheel.dev/step"],
                "iteration": int(labels["flywheel.dev/iteration"]),
                "created": created[labels["batch.kubernetes.io/job-name"]],
                "started": ended["startedAt"],
                "finished": ended["finishedAt"],
            }
        )
    return sorted(rows, key=lambda row: (row["started"], row["created"]))


def main() -> None:
    """Print the tables."""
    namespace = sys.argv[1] if len(sys.argv) > 1 else "review"
    run = sys.argv[2] if len(sys.argv) > 2 else "severity-2026-11"
    rows = steps(namespace, run)
    if not rows:
        sys.exit(f"no finished pod of run {run} in namespace {namespace}: run `make demo` first")
    print(f"{'iteration':>9} {'step':10} {'container s':>11} {'waiting s':>9} {'operator s':>10}")
    own: list[float] = []
    for before, row in zip([None, *rows], rows, strict=False):
        operator = seconds(row["created"], before["finished"]) if before is not None else 0.0
        own.append(operator)
        ran, waited = seconds(row["finished"], row["started"]), seconds(row["started"], row["created"])
        print(f"{row['iteration']:>9} {row['step']:10} {ran:11.0f} {waited:9.0f} {operator:10.0f}")
    total = seconds(rows[-1]["finished"], rows[0]["created"])
    ran = sum(seconds(row["finished"], row["started"]) for row in rows)
    mean = sum(own[1:]) / max(1, len(own) - 1)
    print(f"run: {total:.0f} s in all, containers {ran:.0f} s, waiting {total - ran:.0f} s, {len(rows)} Jobs")
    print(f"operator overhead per step: {mean:.2f} s on average (from the end of a step to the next Job's creation)")
    metrics = kubectl("get", "--raw", f"/api/v1/namespaces/{OPERATOR}/pods/{leader()}:8080/proxy/metrics")
    resident = re.search(r"^process_resident_memory_bytes (\S+)", metrics, re.MULTILINE)
    if resident is not None:
        print(f"operator memory: {float(resident.group(1)) / 2**20:.0f} MiB resident")
    print("operator API requests since its start:")
    for line in metrics.splitlines():
        if "rest_client_requests_total{" in line and not line.startswith("#"):
            print(f"  {line}")


if __name__ == "__main__":
    main()
