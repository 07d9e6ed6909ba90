"""The demo as the README has it: the whole story, on real data, with the gain that it promises."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import documented
import pytest
import served
from cluster import ROOT, Namespace, kubectl, wait_for
from prometheus_server import Prometheus, panels

sys.path.append(str(ROOT / "tests"))

from serving.load import Load

QUESTION = {"code": "def run(command): ...", "review": "The command goes through a shell."}
PROMISED_GAIN = 0.18
ASKED = ("base", "likelihood", "fewShot")
# Panels of what the demo has none of: budgets, prices, a candidate that waits or was rejected.
UNDRAWN = {
    "runs: Budget used A",
    "runs: Teacher cost A",
    "serving: Waiting for approval A",
    "serving: Since what serves came, and since the newest rejection B",
}
# Panels of what may happen at any time: a reconcile that failed, an event that was lost.
BY_CHANCE = {"operator: Keys added, and again after an error B", "operator: Listings, and what watches had not told B"}
HOUR = 3600.0


def test_the_student_gains_what_is_promised_over_the_best_untrained_arm(review: Namespace) -> None:
    """At least 3 iterations; 18 points of balanced accuracy on test items, and the gain's whole interval above zero."""
    status = review.get("fwr", "severity-2026-11")["status"]
    assert len(status["history"]) >= 3
    test = status["test"]
    arms = {arm["name"]: float(arm["accuracy"]) for arm in test["arms"]}
    assert {"majority", "bagOfWords", *ASKED} <= arms.keys()
    assert test["items"] >= 300
    best = max(ASKED, key=lambda name: arms[name])
    gain = next(gain for gain in test["gains"] if gain["versus"] == best)
    print(f"gain over {best}: {gain['difference']} ({gain['low']} to {gain['high']})")
    assert status["candidate"]["iteration"] >= 1
    assert float(test["accuracy"]) - arms[best] >= PROMISED_GAIN
    assert float(gain["low"]) > 0


def test_the_candidate_serves_through_triton(review: Namespace, demo: str) -> None:
    """The adapter that passed the gate is the one that answers under the stable name, on every pod."""
    candidate = review.get("fwr", "severity-2026-11")["status"]["candidate"]["digest"]
    status = review.get("adep", "severity")["status"]
    assert status["serving"]["digest"] == candidate
    assert status["pods"] and all(pod["revision"] == candidate and pod["verified"] for pod in status["pods"])
    assert f"Served by: {candidate}" in demo
    answer = demo.split("Answer: ", 1)[1].splitlines()[0]
    assert json.loads(answer)["issue_type"] in {"critical", "major", "minor", "trivial"}


def test_kubectl_tells_the_story(review: Namespace) -> None:
    """Columns, conditions, events, wait and explain."""
    columns = review.kubectl("get", "fwr").splitlines()
    assert columns[0].split() == [
        "NAME",
        "ITERATION",
        "STEP",
        "PROFICIENCY",
        "VALIDATION",
        "BEST",
        "READY",
        "REASON",
        "AGE",
    ]
    assert "True" in columns[1] and "MaxIterations" in columns[1]
    review.kubectl("wait", "--for=condition=Completed", "fwr/severity-2026-11", "--timeout=5s")
    described = review.kubectl("describe", "fwr", "severity-2026-11")
    assert "StepCompleted" in described and "NewBest" in described and "Candidate" in described
    assert "first limit that holds wins" in kubectl("explain", "fwr.spec.stop")


def test_prometheus_has_data_for_every_panel_and_calls_no_gain_a_stall(
    review: Namespace, prometheus: Prometheus
) -> None:
    """Of a run that gains, in a real cluster; tests/unit/alerts has one that does not."""
    del review
    asked = {
        panel: query.replace("$__rate_interval", "1m").replace("$namespace", "review").replace("$name", ".*")
        for panel, query in panels().items()
    }
    assert {panel for panel, query in asked.items() if not prometheus.ever(query, HOUR)} - BY_CHANCE == UNDRAWN
    fired = {series["metric"]["alertname"] for series in prometheus.ever('ALERTS{alertstate="firing"}', HOUR)}
    print(f"alerts, without their delays: {sorted(fired)}")
    assert "FlywheelProficiencyStalled" not in fired


@pytest.mark.parametrize("document", documented.DOCUMENTS)
def test_the_commands_of_the_documents_run(review: Namespace, document: str, tmp_path: Path) -> None:
    """As they stand there. One of them begins a control run, which is not waited for."""
    print(documented.run(document, tmp_path))
    review.kubectl("delete", "fwr", "severity-2026-11-control", "--ignore-not-found", "--wait=false")


def test_no_request_fails_while_pods_come_and_go_and_a_pin_goes_back(review: Namespace) -> None:
    """Two pods behind the Service's address, new and kept-alive connections: a commit goes back, another forward."""
    candidate = review.get("adep", "severity")["status"]["serving"]["digest"]
    review.kubectl("scale", "deployment/triton", "--replicas=2")
    wait_for("two pods serve", lambda: served.by_pods(review) == [candidate] * 2, 300)
    address = review.get("service", "triton")["spec"]["clusterIP"]
    with Load(lambda: [f"http://{address}:8000"], QUESTION, per_second=3) as load:
        review.kubectl("patch", "adep", "severity", "--type=merge", "-p", '{"spec": {"pin": "Base"}}')
        wait_for("the bare student serves", lambda: served.by_pods(review) == ["Base"] * 2, 300)
        pods = review.kubectl("get", "pods", "-l", "app.kubernetes.io/name=triton", "-o", "name").split()
        review.kubectl("delete", pods[0], "--wait=false")
        review.kubectl("patch", "adep", "severity", "--type=merge", "-p", '{"spec": {"pin": null}}')
        wait_for("the candidate serves again", lambda: served.by_pods(review) == [candidate] * 2, 300)
        load.until_each_has_answered()
    review.kubectl("scale", "deployment/triton", "--replicas=1")
    print(f"{len(load.answers)} requests, {load.retries} sent once more")
    assert not load.failures, load.failures[:5]
    assert {answer.revision for answer in load.answers} == {candidate, "Base"}
