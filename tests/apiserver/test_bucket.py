"""A run whose workspace is in a bucket, on a real API server: its pods, and what is said while it cannot be used."""

from __future__ import annotations

from bed_node import Ending, Stages
from bed_resources import curriculum, run
from bed_results import failure

from conftest import Bed
from flywheel.controller.resources import CURRICULUM, RUN

S3 = {"endpoint": "https://minio:9000", "bucket": "flywheel", "region": "us-east-1", "secretRef": {"name": "bucket"}}
NO_SECRET = Ending(waiting=("CreateContainerConfigError", 'secret "bucket" not found'), sidecar=True)
AWAY = Ending(code=75, said=failure("WorkspaceUnavailable", "https://minio:9000 does not answer"))


def test_a_run_on_a_bucket(bed: Bed) -> None:
    """What cannot be used is said and waited for, no attempt is used. Of each pod only the sidecar has the key."""
    script = Stages({("severity", 1, "prepare"): NO_SECRET, ("first", 1, "train"): AWAY})
    bed.node.script = script
    bed.operator()
    resource = curriculum(bed.namespace)
    resource["spec"]["workspace"] = {"s3": S3}
    bed.apply(resource, run(bed.namespace, "first", 1, jobs={"defaults": {"attempts": 1}}))
    assert "secretAccessKey" in bed.until_condition(CURRICULUM, "severity", "Stalled", "WorkspaceSecret")["message"]
    del script["severity", 1, "prepare"]
    assert "minio" in bed.until_condition(RUN, "first", "Stalled", "WorkspaceUnavailable")["message"]
    del script["first", 1, "train"]
    assert bed.until_completed("first")["status"]["workspace"] == {"s3": S3}
    jobs = bed.jobs()
    assert {job["spec"]["template"]["spec"]["initContainers"][0]["name"] for job in jobs} == {"sidecar"}
    for job in jobs:
        (step,) = job["spec"]["template"]["spec"]["containers"]
        keys = {entry["valueFrom"]["secretKeyRef"]["name"] for entry in step["env"] if "valueFrom" in entry}
        assert keys <= {"teacher"}
