"""Bad input of every kind: a reason and a message that says what to do; mended, it goes on; nothing is lost."""

from __future__ import annotations

import json

from cluster import Namespace, curriculum, few_findings, kubectl, small_run, wait_for


def _accepted(namespace: Namespace, run: str) -> set[str]:
    """Names of the steps of iteration 1 that a run has behind it; `baseline` for iteration 0."""
    status = namespace.get("fwr", run).get("status", {})
    steps = {step["name"] for step in status.get("current", {}).get("steps", [])}
    return steps | ({"baseline"} if "baselineStep" in status else set())


def test_an_unknown_field_is_refused_with_its_path(empty: Namespace) -> None:
    """kubectl apply says which field."""
    manifest = small_run("unknown-field")
    manifest["spec"]["training"]["epoch"] = 3
    said = empty.kubectl("apply", "-f", "-", stdin=json.dumps(manifest), check=False)
    assert 'unknown field "spec.training.epoch"' in said


def test_what_a_run_lacks_blocks_it_and_it_goes_on_when_mended(namespace: Namespace) -> None:
    """Secret, image, claim and key, each missing in a run of its own, at the same time."""
    good = namespace.get("secret", "teacher")["data"]
    refused = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "refused"}, "data": good | {"apiKey": "eA=="}}
    namespace.apply(refused)
    teacher = small_run("x")["spec"]["teacher"]
    student = small_run("x")["spec"]["student"]
    elsewhere = {"persistentVolumeClaim": {"claimName": "elsewhere", "path": "student"}}
    namespace.apply(small_run("no-secret", teacher=teacher | {"secretRef": {"name": "missing"}}))
    namespace.apply(small_run("bad-key", teacher=teacher | {"secretRef": {"name": "refused"}}))
    namespace.apply(small_run("no-claim", student=student | {"model": elsewhere}))
    broken = {"steps": [{"name": "validate", "image": "127.0.0.1:1/no/such:image"}]}
    namespace.apply(small_run("no-image", jobs=broken))

    expected = {
        "no-claim": ("VolumeUnavailable", "PersistentVolumeClaim"),
        "no-image": ("ImageUnavailable", "image"),
        "no-secret": ("TeacherSecret", "apiKey and hosts"),
        "bad-key": ("TeacherKeyRefused", "key"),
    }
    for name, (reason, words) in expected.items():
        condition = namespace.wait_reason("fwr", name, "Stalled", reason)
        assert words.split()[0] in condition["message"]
    attempts = {name: namespace.get("fwr", name)["status"].get("attempt", {}) for name in expected}
    assert all(attempt.get("failures", 0) == 0 for attempt in attempts.values()), attempts

    namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "missing"}, "data": good})
    namespace.apply(refused | {"data": good})
    namespace.apply(small_run("no-image"))
    kubectl("-n", namespace.name, "delete", "job", "-l", "flywheel.dev/owner=no-image")
    goes_on = {"no-secret": "exam", "bad-key": "exam", "no-image": "baseline"}
    for name, step in goes_on.items():
        wait_for(f"{name} to get past {step}", lambda n=name, s=step: s in _accepted(namespace, n), 600)
        namespace.kubectl("delete", "fwr", name, "--wait=false")
    namespace.kubectl("delete", "fwr", "no-claim", "--wait=false")


def test_bad_data_stalls_the_curriculum_and_blocks_the_run_until_a_revision_is_ready(empty: Namespace) -> None:
    """Broken lines first, then a schema that does not fit; the run waits and then runs."""
    empty.load("student")
    empty.write("datasets/findings.jsonl", '{"input": {"code": "x", "review": "y"}, "output": \n')
    empty.start_teacher()
    empty.apply(curriculum())
    empty.apply(small_run("waits"))
    condition = empty.wait_reason("curr", "code-review-severity", "Stalled", "SourceRejected")
    assert "findings" in condition["message"] and "line 1" in condition["message"]
    empty.wait_reason("fwr", "waits", "Stalled", "CurriculumNotReady")

    empty.write("datasets/findings.jsonl", few_findings())
    task = curriculum()["spec"]["task"]
    wrong = task | {"inputSchema": task["inputSchema"] | {"required": ["code", "review", "author"]}}
    empty.apply(curriculum(task=wrong))

    def says_author() -> bool:
        return "author" in empty.condition("curr", "code-review-severity", "Stalled").get("message", "")

    wait_for("the Curriculum to name the missing property", says_author)
    empty.apply(curriculum())
    empty.kubectl("wait", "--for=condition=Ready", "curr/code-review-severity", "--timeout=180s")
    wait_for("the run to get past its baseline", lambda: "baseline" in _accepted(empty, "waits"), 600)


def test_a_training_that_runs_out_of_memory_uses_its_attempts_then_fails(namespace: Namespace) -> None:
    """Two attempts, then Failed, with the word memory in the message and no third Job."""
    limits = {"requests": {"memory": "64Mi"}, "limits": {"memory": "200Mi"}}
    jobs = {"steps": [{"name": "train", "resources": limits, "attempts": 2}]}
    namespace.apply(small_run("too-small", jobs=jobs))
    condition = namespace.wait_reason("fwr", "too-small", "Failed", "OutOfMemory", seconds=600)
    assert "memory" in condition["message"]
    jobs_made = namespace.kubectl("get", "jobs", "-l", "flywheel.dev/step=train", "-o", "name").split()
    assert len(jobs_made) == 2
    assert namespace.condition("fwr", "too-small", "Completed") == {}
