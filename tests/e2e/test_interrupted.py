"""Deletions in the middle: of the leading operator's pod in every kind of step, and of the run itself."""

from __future__ import annotations

from cluster import Namespace, kubectl, small_run, wait_for

STEPS = ("exam", "answer", "evaluate", "train", "validate")


def test_the_operator_killed_in_every_kind_of_step_changes_nothing(namespace: Namespace, operator: str) -> None:
    """One Job a step, every step accepted at its first attempt, the run completes."""
    namespace.apply(small_run("killed"))
    for step in STEPS:
        wait_for(f"step {step}", lambda step=step: _step(namespace, "killed") in (step, None), 300)
        pod = _leader(operator)
        kubectl("-n", operator, "delete", "pod", pod, "--wait=false")
        wait_for("the other replica to lead", lambda pod=pod: _leader(operator) not in ("", pod))
    namespace.wait_reason("fwr", "killed", "Completed", "MaxIterations", seconds=600)
    status = namespace.get("fwr", "killed")["status"]
    assert {step["name"]: step["attempt"] for step in status["history"][0]["steps"]} == dict.fromkeys(STEPS, 1)
    jobs = namespace.kubectl("get", "jobs", "-l", "flywheel.dev/owner=killed", "-o", "name").split()
    assert len(jobs) == len(STEPS) + 2  # and validate and preflight as iteration 0


def test_deleting_a_run_stops_its_jobs_and_pods(namespace: Namespace) -> None:
    """Garbage collection by owner, foreground; the Curriculum stays Ready."""
    namespace.apply(small_run("deleted"))
    selector = ("-l", "flywheel.dev/owner=deleted", "-o", "name")
    wait_for("a pod of the run", lambda: namespace.kubectl("get", "pods", *selector) != "")
    namespace.kubectl("delete", "fwr", "deleted", "--wait=false")
    wait_for("its Jobs to be gone", lambda: namespace.kubectl("get", "jobs,pods", *selector) == "")
    assert namespace.condition("curr", "code-review-severity", "Ready")["status"] == "True"


def test_suspend_and_resume_uses_no_attempt(namespace: Namespace) -> None:
    """Suspended in mid-step: no Job runs; resumed: the next one, no failure counted."""
    namespace.apply(small_run("rests"))
    wait_for("a step", lambda: _step(namespace, "rests") is not None)
    namespace.kubectl("patch", "fwr", "rests", "--type=merge", "-p", '{"spec":{"suspend":true}}')

    def resting() -> bool:
        reason = namespace.condition("fwr", "rests", "Ready").get("reason")
        jobs = namespace.kubectl(
            "get", "pods", "-l", "flywheel.dev/owner=rests", "--field-selector=status.phase=Running"
        )
        return reason == "Suspended" and "rests" not in jobs

    wait_for("the run to rest", resting)
    before = namespace.get("fwr", "rests")["status"]["attempt"]["ordinal"]
    namespace.kubectl("patch", "fwr", "rests", "--type=merge", "-p", '{"spec":{"suspend":false}}')

    def resumed() -> bool:
        attempt = namespace.get("fwr", "rests")["status"].get("attempt") or {}
        return attempt.get("ordinal", 0) > before

    wait_for("the next Job", resumed)
    assert namespace.get("fwr", "rests")["status"]["attempt"]["failures"] == 0
    namespace.kubectl("delete", "fwr", "rests", "--wait=false")


def _leader(operator: str) -> str:
    """Its pod; empty while nobody leads."""
    query = ("get", "lease", "flywheel-operator", "-o", "jsonpath={.spec.holderIdentity}")
    return kubectl("-n", operator, *query).partition("_")[0]


def _step(namespace: Namespace, run: str) -> str | None:
    return namespace.get("fwr", run).get("status", {}).get("step")
