"""What the guards against the teacher are worth: the same runs with them and without, with the real student.

`python tests/bench/guards.py [seeds] [steps]` (5, 360): a rehearsal teacher that takes 60 % of critical items for minor
ones, is skewed and flatters teaches the student of examples/code-review for two iterations, by `flywheel run --local`.
Printed: per seed the teacher's measured error on critical items, the inflation gap, the recall of critical items on the
validation pool in both arms, tokens charged against tokens in the ledger; then the paired difference over the seeds.
Exits 1 where the true error is outside its interval, the gap is not above zero, or a budget is not exact.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import t as student_t

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "examples/code-review"
TRUE_ERROR, ITERATIONS = 0.6, 2
KNOBS = f"misjudge={TRUE_ERROR},easy=1,skew=0.2,flatter=1"
BUDGET = 20_000_000


@dataclass(frozen=True)
class Arm:
    """What one run left."""

    status: dict[str, Any]
    recall: float
    ledger_tokens: int

    @property
    def charged(self) -> int:
        return int(self.status["usage"]["teacherTokens"])


def folder_with(steps: int, home: Path) -> Path:
    """The example with fewer optimiser steps and a budget."""
    home.mkdir(parents=True)
    for path in EXAMPLE.iterdir():
        if path.name != "flywheelrun.yaml":
            (home / path.name).symlink_to(path)
    run = yaml.safe_load((EXAMPLE / "flywheelrun.yaml").read_text())
    run["spec"]["training"]["maxSteps"] = steps
    run["spec"]["stop"] = {"maxIterations": ITERATIONS, "budget": {"teacherTokens": BUDGET}}
    (home / "flywheelrun.yaml").write_text(yaml.safe_dump(run))
    return home


def measured(folder: Path, workspace: Path, seed: int, unguarded: bool) -> Arm:
    """Run one arm to its end."""
    command = [sys.executable, "-m", "flywheel.cli.main", "run", "--local", "--rehearsal-teacher", "--seed", str(seed)]
    command += ["--unguarded"] * unguarded + ["--workspace", str(workspace), str(folder)]
    known = {"REHEARSAL_KNOBS": KNOBS, "REHEARSAL_KNOWN": str(EXAMPLE / "datasets/findings.jsonl")}
    path = {"PYTHONPATH": str(CHECKOUT / "operator")}
    subprocess.run(command, check=True, env=os.environ | known | path, stdout=sys.stderr)
    status = json.loads((workspace / "local-state.json").read_text())["run"]
    newest = sorted(workspace.glob(f"runs/*/*/iter-{ITERATIONS}/validate/a*/answers/candidate.jsonl"))[-1]
    answers = [json.loads(line) for line in newest.read_text().splitlines()]
    critical = [answer.get("label") == "critical" for answer in answers if answer["truth"] == "critical"]
    replies = [json.loads(path.read_text()) for path in workspace.glob("ledger/*/*/*.reply.json")]
    tokens = sum(reply["inputTokens"] + reply["outputTokens"] for reply in replies)
    return Arm(status, sum(critical) / len(critical), tokens)


def interval(values: list[float]) -> str:
    """Mean over seeds with Student's interval at 0.95: a seed is one observation of both arms."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:+.3f} (one seed has no interval)"
    half = float(student_t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def main(seeds: int, steps: int) -> int:
    """Both arms of every seed."""
    gains, gaps, sound = list[float](), list[float](), True
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder = folder_with(steps, root / "example")
        for seed in range(1, seeds + 1):
            arms = [measured(folder, root / f"{seed}-{without}", seed, without) for without in (False, True)]
            guarded, unguarded = arms
            error = next(entry for entry in guarded.status["teacherError"] if entry["label"] == "critical")
            gaps.append(float(guarded.status["inflationGap"]["gap"]))
            gains.append(guarded.recall - unguarded.recall)
            found = float(error["low"]) <= TRUE_ERROR <= float(error["high"])
            exact = all(arm.charged == arm.ledger_tokens <= BUDGET for arm in arms)
            sound = sound and found and exact
            print(
                f"seed {seed}: teacher's error on critical {error['error']} ({error['low']} to {error['high']}) of"
                f" {error['items']}; gap {gaps[-1]:+.3f}; critical recall {guarded.recall:.3f} guarded,"
                f" {unguarded.recall:.3f} not; tokens {guarded.charged} and {unguarded.charged},"
                f" {'exact' if exact else 'NOT as in the ledger'}",
                flush=True,
            )
    print(f"critical recall, guarded minus unguarded, over {seeds} seeds: {interval(gains)}")
    print(f"inflation gap: {interval(gaps)}")
    return 0 if sound and statistics.mean(gaps) > 0 else 1


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(arguments + [5, 360][len(arguments) :])))
