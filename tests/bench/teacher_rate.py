"""How much of an endpoint's allowed rate is used, and how often it is asked twice. Against the rehearsal teacher.

`python tests/bench/teacher_rate.py [requests per minute] [minutes]`: the rehearsal teacher turns away what is more than
its rate in any minute; the product is told the same rate. Printed: calls, share of the allowed rate, what was turned
away, and requests that were answered twice. Goals: at least 95 %, and 0. Exits 1 where they are missed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from flywheel.api.privacy import Redact
from flywheel.api.request import TeacherParameters
from flywheel.data.redaction import Redactor
from flywheel.local.rehearsal import rehearsal_teacher
from flywheel.teacher.asking import Question, Teacher
from flywheel.teacher.client import HOSTS_VARIABLE, KEY_VARIABLE, TeacherClient
from flywheel.teacher.ledger import Ledger
from flywheel.teacher.prompts import load_prompt
from flywheel.workspace.store import Workspace

CHECKOUT = Path(__file__).resolve().parents[2]
TASK = {"instructions": "Rate.", "input_schema": {}, "output_schema": {}, "label_path": "issue_type"}
LABELS = ["critical", "major", "minor", "trivial"]


def main(rate: int, minutes: float) -> int:
    """Ask as many calls as the rate allows in so many minutes."""
    calls = round(rate * minutes)
    questions = [
        Question(
            load_prompt("exam"),
            {**TASK, "labels": LABELS, "label": LABELS[number % 4], "count": 1, "seeds": [], "previous": None},
            f"bench/{number}",
        )
        for number in range(calls)
    ]
    os.environ["REHEARSAL_REQUESTS_PER_MINUTE"] = str(rate)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with rehearsal_teacher(CHECKOUT, root / "requests.jsonl") as served:
            os.environ |= {KEY_VARIABLE: served.key, HOSTS_VARIABLE: "127.0.0.1"}
            parameters = TeacherParameters(
                base_url=served.base_url, model="rehearsal", concurrency=16, requests_per_minute=rate
            )
            ledger = Ledger(Workspace(root / "workspace"), "ledger/bench")
            began = time.monotonic()
            Teacher(parameters, TeacherClient(parameters), ledger, "bench", 0, Redactor(Redact(), "bench")).ask(
                questions
            )
            seconds = time.monotonic() - began
            with urllib.request.urlopen(served.base_url.removesuffix("/v1") + "/requests") as reply:  # noqa: S310
                told = json.load(reply)
    share = calls / (rate * seconds / 60)
    print(f"{calls} calls in {seconds:.1f} s at {rate} requests a minute: {share:.1%} of the allowed rate")
    print(f"turned away: {told['refused']}; answered twice: {told['duplicates']}")
    return 0 if share >= 0.95 and told["duplicates"] == 0 else 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(int(arguments[0]) if arguments else 600, float(arguments[1]) if arguments[1:] else 2.0))
