"""Job manifests: restricted, complete, and with nothing that a step does not need."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from resources import BUCKET, CLAIM, NOW, curriculum, curriculum_spec
from restricted import check_job

from flywheel.api.endpoint import ConfigMapKeyRef
from flywheel.api.jobs import QUEUE_LABEL, EnvVar, JobSettings, Resources, StepName, Toleration
from flywheel.api.request import (
    CleanupParameters,
    ExamParameters,
    Input,
    PrepareParameters,
    PublishParameters,
    ReportParameters,
    Source,
    StepRequest,
    TeacherParameters,
    TrainParameters,
)
from flywheel.api.target import Repository
from flywheel.api.task import LabelField, Task
from flywheel.api.workspace import S3, WorkspaceRef
from flywheel.controller.jobs import MAX_REQUEST_BYTES, Owner, RequestTooLargeError, job_manifest, resources
from flywheel.controller.labels import SETTINGS
from flywheel.controller.step_defaults import STEP_DEFAULTS
from flywheel.loop.curriculum import decide_curriculum
from flywheel.loop.observed import CurriculumObserved
from flywheel.loop.plan import Claims, StepJob

OWNER = Owner("flywheel.dev/v1alpha1", "FlywheelRun", "review", "a" * 80, "11111111-2222-3333-4444-555555555555")
IMAGES = {"operator": "o:1", "student": "s:1", "trainer": "t:1"}
DIGEST = "sha256:" + "0" * 64
MODELS = Repository.model_validate({"persistentVolumeClaim": {"claimName": "models"}})
IN_BUCKET = Repository.model_validate(
    {"s3": {"endpoint": "https://s3.example.com", "bucket": "models", "secretRef": {"name": "models-write"}}}
)
PUBLISH = PublishParameters(
    phase="stage", adapter_digest=DIGEST, repository_path="/repository", model="m", candidate_model="m-cand-0",
    run="r", run_iteration=1,
)  # fmt: skip
EXAM = ExamParameters(teacher=TeacherParameters(base_url="http://teacher/v1", model="big"), questions=4)


def request(parameters=EXAM, inputs=(), **fields) -> StepRequest:
    fields = {"namespace": "review", "owner": "x", "attempt": 1, "output": "runs/review/x/iter-1/exam/a1"} | fields
    return StepRequest(parameters=parameters, inputs=list(inputs), **fields)


def manifest(parameters=EXAM, settings=None, claims=None, secret=None, rereads=None, **fields):
    asked = request(parameters, **fields)
    job = StepJob("job-1", asked.step, asked, settings or JobSettings(), claims or Claims(CLAIM), secret, rereads)
    return job_manifest(job, OWNER, IMAGES)


def container(job):
    return job["spec"]["template"]["spec"]["containers"][0]


def test_every_step_has_defaults_with_a_memory_limit() -> None:
    assert set(STEP_DEFAULTS) == set(get_args(StepName))
    for defaults in STEP_DEFAULTS.values():
        assert defaults.resources.limits["memory"]


def test_one_job_is_one_attempt_in_a_restricted_pod() -> None:
    job = manifest()
    pod = job["spec"]["template"]["spec"]
    assert (job["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    assert "activeDeadlineSeconds" not in job["spec"] and pod["activeDeadlineSeconds"] == 3600
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] is True
    assert container(job)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    owner = job["metadata"]["ownerReferences"][0]
    assert owner["controller"] and owner["blockOwnerDeletion"] and owner["uid"] == OWNER.uid
    assert all(len(value) <= 63 for value in job["metadata"]["labels"].values())
    assert job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"]


def test_the_key_is_only_where_it_is_asked_for() -> None:
    assert not [entry for entry in container(manifest())["env"] if "valueFrom" in entry]
    keys = {
        entry["name"]: entry["valueFrom"]["secretKeyRef"]
        for entry in container(manifest(secret="teacher"))["env"]
        if "valueFrom" in entry
    }
    assert keys["FLYWHEEL_TEACHER_API_KEY"] == {"name": "teacher", "key": "apiKey", "optional": False}
    assert keys["FLYWHEEL_TEACHER_HOSTS"] == {"name": "teacher", "key": "hosts", "optional": False}


def test_certificates_are_mounted_where_the_teacher_is_asked() -> None:
    def trusting(bundle: ConfigMapKeyRef | None) -> ExamParameters:
        return EXAM.model_copy(update={"teacher": EXAM.teacher.model_copy(update={"ca_bundle": bundle})})

    def found(parameters: ExamParameters | ReportParameters) -> tuple[list[object], list[object], list[object]]:
        job = manifest(parameters, secret="teacher")
        pod, step = job["spec"]["template"]["spec"], container(job)
        return (
            [volume["configMap"] for volume in pod["volumes"] if "configMap" in volume],
            [mount for mount in step["volumeMounts"] if mount["name"] == "teacher-ca"],
            [entry["value"] for entry in step["env"] if entry["name"] == "FLYWHEEL_TEACHER_CA"],
        )

    source = {"name": "corp", "optional": True, "items": [{"key": "root.pem", "path": "ca.pem"}]}
    mount = {"name": "teacher-ca", "mountPath": "/etc/flywheel/teacher", "readOnly": True}
    named = trusting(ConfigMapKeyRef(name="corp", key="root.pem"))
    assert found(named) == ([source], [mount], ["/etc/flywheel/teacher/ca.pem"])
    assert found(trusting(None)) == ([], [], [])
    assert found(ReportParameters(attempt_path="runs/review/x/iter-1/exam/a1")) == ([], [], [])


@given(st.text(alphabet="a$()HOME{}é\n", max_size=60))
def test_values_survive_the_kubelets_expansion(text: str) -> None:
    """As k8s.io/kubernetes/third_party/forked/golang/expansion reads it: $$ is $, $(X) a reference."""
    settings = JobSettings(env=[EnvVar(name="HINT", value=text)])
    env = {entry["name"]: entry.get("value", "") for entry in container(manifest(settings=settings))["env"]}
    assert expand(env["HINT"]) == text
    assert StepRequest.model_validate(json.loads(expand(env["FLYWHEEL_REQUEST"]))) == request()


def expand(value: str) -> str:
    out, at = "", 0
    while at < len(value):
        if value[at] == "$" and value[at : at + 2] == "$$":
            out, at = out + "$", at + 2
        elif value[at] == "$" and value[at : at + 2] == "$(" and ")" in value[at:]:
            raise AssertionError("would be taken for a reference")
        else:
            out, at = out + value[at], at + 1
    return out


def test_a_request_that_is_too_long_is_refused() -> None:
    task = Task(
        instructions="x",
        input_schema={"description": "y" * MAX_REQUEST_BYTES},
        output_schema={},
        label=LabelField(path="label", order=["a", "b"]),
    )
    parameters = PrepareParameters(task=task, template="", sources=[], pools_key="k", ratios={})
    with pytest.raises(RequestTooLargeError, match="shorten the task"):
        manifest(parameters)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (Resources(), ({"cpu": "50m", "memory": "128Mi"}, {"memory": "1Gi"})),
        (Resources(limits={"memory": "64Mi"}), ({"cpu": "50m"}, {"memory": "64Mi"})),
        (Resources(requests={"memory": "9Gi"}), ({"cpu": "50m", "memory": "9Gi"}, {"memory": "9Gi"})),
        (Resources(limits={"nvidia.com/gpu": 1}), (None, {"memory": "1Gi", "nvidia.com/gpu": "1"})),
    ],
)
def test_resources_never_contradict_each_other(own: Resources, expected) -> None:
    found = resources(JobSettings(resources=own), STEP_DEFAULTS["exam"])
    requests, limits = expected
    assert found["limits"] == limits
    assert requests is None or found["requests"] == requests


def test_settings_reach_the_pod() -> None:
    settings = JobSettings(
        image="own:2", timeout="2h", node_selector={"gpu": "h200"}, tolerations=[Toleration(key="gpu", value="x")]
    )
    pod = manifest(settings=settings)["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "own:2" and pod["activeDeadlineSeconds"] == 7200
    assert pod["nodeSelector"] == {"gpu": "h200"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Equal", "value": "x"}]


def mounts(job) -> dict[str, bool]:
    return {entry["mountPath"]: not entry.get("readOnly", False) for entry in container(job)["volumeMounts"]}


def test_inputs_are_mounted_part_by_part_and_read_only() -> None:
    inputs = [
        Input(name="curriculum", path="curricula/c", digest=DIGEST, parts=["task.json", "pools/exam"]),
        Input(name="adapter", path="runs/r/iter-1/train/a1", digest=DIGEST),
    ]
    found = mounts(manifest(inputs=inputs, also_writable=["ledger/review"]))
    assert found == {
        "/workspace/runs/review/x/iter-1/exam/a1": True,
        "/workspace/ledger/review": True,
        "/workspace/curricula/c/manifest.json": False,
        "/workspace/curricula/c/task.json": False,
        "/workspace/curricula/c/pools/exam": False,
        "/workspace/runs/r/iter-1/train/a1": False,
        "/tmp": True,
    }


def test_prepare_mounts_the_folder_of_a_source() -> None:
    """The kubelet would make a folder where the file is missing."""
    sources = [
        Source(name="a", truth="Rule", group="g", path="datasets/a.jsonl"),
        Source(name="b", truth="Rule", group="g", path="datasets/deep/b.jsonl"),
    ]
    task = Task(instructions="x", input_schema={}, output_schema={}, label=LabelField(path="l", order=["a", "b"]))
    parameters = PrepareParameters(task=task, template="", sources=sources, pools_key="k", ratios={})
    found = mounts(manifest(parameters, output="curricula/review/c-1"))
    assert found == {"/workspace/datasets": False, "/workspace/curricula/review/c-1": True, "/tmp": True}


def test_train_reads_the_last_attempt_and_report_writes_nothing() -> None:
    train = TrainParameters(model_path="/model", batch_size=1, learning_rate="1e-4", lora={}, resume="r/train/a1")
    claims = Claims(CLAIM, model="data", model_folder="student")
    job = manifest(train, claims=claims, output="r/train/a2")
    found = mounts(job)
    assert found["/workspace/r/train/a1"] is False and found["/workspace/r/train/a2"] is True
    assert found["/model"] is False and found["/dev/shm"] is True
    volumes = job["spec"]["template"]["spec"]["volumes"]
    assert [v["name"] for v in volumes if "persistentVolumeClaim" in v] == ["workspace"]  # one volume a claim
    found = mounts(manifest(ReportParameters(attempt_path="r/train/a1"), output="r/train/a2", rereads=1))
    assert found == {"/workspace/r/train/a1": False, "/tmp": True}


def test_cleanup_writes_the_home_of_its_run_only() -> None:
    parameters = CleanupParameters(home="runs/review/x", through=1, keep=["runs/review/x/iter-1/train/a1"])
    # Its own attempt lies in there.
    found = mounts(manifest(parameters, output="runs/review/x/iter-4/cleanup/a1"))
    assert found == {"/workspace/runs/review/x": True, "/tmp": True}


def test_a_workspace_in_a_bucket_is_a_folder_of_the_pod_and_a_sidecar() -> None:
    inputs = [Input(name="adapter", path="runs/r/iter-1/train/a1", digest=DIGEST)]
    job = manifest(claims=Claims(BUCKET, model="models"), settings=JobSettings(image="own:1"), inputs=inputs)
    pod = job["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert (sidecar["restartPolicy"], sidecar["image"]) == ("Always", "o:1")
    assert {"name": "workspace", "emptyDir": {"sizeLimit": "64Gi"}} in pod["volumes"]
    assert sidecar["volumeMounts"] == [{"name": "workspace", "mountPath": "/workspace"}]
    assert mounts(job) == {"/workspace": True, "/model": False, "/tmp": True}
    said, step = ({entry["name"]: entry.get("value") for entry in each["env"]} for each in (sidecar, container(job)))
    assert said["FLYWHEEL_REQUEST"] == step["FLYWHEEL_REQUEST"]
    assert step["FLYWHEEL_SIDECAR"].startswith(said["FLYWHEEL_WORKSPACE"] + "/.")
    assert S3.model_validate_json(said["FLYWHEEL_S3"]) == BUCKET.s3
    assert not [entry for entry in container(job)["env"] if "valueFrom" in entry], "the step holds no key"


@pytest.mark.parametrize("workspace", [CLAIM, BUCKET])
def test_a_source_in_a_bucket_is_fetched_by_the_sidecar_which_alone_has_its_key(workspace: WorkspaceRef) -> None:
    spec = curriculum_spec() | {"workspace": workspace.to_json_object()}
    place = {"endpoint": "https://s3.example.com", "bucket": "labelled", "key": "a/b.jsonl", "secretRef": {"name": "k"}}
    spec["sources"] = [*spec["sources"], {**spec["sources"][0], "name": "bought", "dataset": {"s3": place}}]
    (job,) = decide_curriculum(CurriculumObserved(curriculum(spec), ""), NOW).create
    check_job(job)
    pod = job_manifest(job, OWNER, IMAGES)["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    said, step = (
        {entry["name"]: entry.get("value") for entry in each["env"]} for each in (sidecar, pod["containers"][0])
    )
    assert step["FLYWHEEL_SOURCES"] == said["FLYWHEEL_SOCKET"] and "FLYWHEEL_SOURCE_1_SECRET_ACCESS_KEY" in said
    assert ("FLYWHEEL_SIDECAR" in step) == ("FLYWHEEL_S3" in said) == (workspace is BUCKET)
    shared = [mount["mountPath"] for mount in sidecar["volumeMounts"]]
    assert shared == [said["FLYWHEEL_SOCKET"].removesuffix("/.sidecar")]
    assert not [entry for entry in pod["containers"][0]["env"] if "valueFrom" in entry], "the step holds no key"


def test_publish_writes_the_repository() -> None:
    found = mounts(manifest(PUBLISH, claims=Claims(CLAIM, repository=MODELS), output="adapters/review"))
    assert found["/repository"] is True and found["/workspace/adapters/review"] is True


@pytest.mark.parametrize("workspace", [CLAIM, BUCKET])
def test_where_servers_read_a_bucket_publish_s_sidecar_alone_has_its_key(workspace: WorkspaceRef) -> None:
    claims = Claims(workspace, repository=IN_BUCKET)
    asked = request(PUBLISH, output="adapters/review")
    check_job(StepJob("job-1", "stage", asked, JobSettings(), claims))
    pod = manifest(PUBLISH, claims=claims, output="adapters/review")["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    said, step = (
        {entry["name"]: entry.get("value") for entry in each["env"]} for each in (sidecar, pod["containers"][0])
    )
    assert step["FLYWHEEL_REPOSITORY"] == said["FLYWHEEL_SOCKET"] and "FLYWHEEL_REPOSITORY_SECRET_ACCESS_KEY" in said
    assert S3.model_validate_json(said["FLYWHEEL_REPOSITORY_S3"]) == IN_BUCKET.s3
    assert {"name": "repository", "emptyDir": {"sizeLimit": "64Gi"}} in pod["volumes"]
    assert any(f"{mount['mountPath']}/.sidecar" == said["FLYWHEEL_SOCKET"] for mount in sidecar["volumeMounts"])
    assert ("FLYWHEEL_SIDECAR" in step) == ("FLYWHEEL_S3" in said) == (workspace is BUCKET)
    assert not [entry for entry in pod["containers"][0]["env"] if "valueFrom" in entry], "the step holds no key"
    assert "initContainers" not in manifest(claims=Claims(CLAIM, repository=IN_BUCKET))["spec"]["template"]["spec"]


@given(st.lists(st.sampled_from(["a", "a/b", "a/b/c", "a/x", "d", "d/e"]), max_size=5), st.sampled_from(["a/b", "d/e"]))
def test_nothing_is_mounted_twice(paths: list[str], output: str) -> None:
    inputs = [Input(name=f"i{number}", path=path, digest=DIGEST) for number, path in enumerate(paths)]
    job = manifest(inputs=inputs, output=output)
    listed = [entry["mountPath"] for entry in container(job)["volumeMounts"]]
    assert len(listed) == len(set(listed))
    found = mounts(job)
    assert found[f"/workspace/{output}"] is True
    for path in paths:
        assert any(f"/workspace/{path}/".startswith(mounted + "/") for mounted in found)


PLATFORM = JobSettings.model_validate(
    {
        "runtimeClassName": "nvidia",
        "priorityClassName": "research",
        "imagePullSecrets": [{"name": "registry"}],
        "labels": {"team": "review", QUEUE_LABEL: "gpus", "kueue.x-k8s.io/priority-class": "low"},
        "annotations": {"kueue.x-k8s.io/podset-required-topology": "cloud.provider.com/rack"},
        "shmSize": "12Gi",
    }
)


def test_what_a_platform_asks_for_reaches_job_and_pod() -> None:
    job = manifest(settings=PLATFORM)
    template = job["spec"]["template"]
    pod = template["spec"]
    assert (pod["runtimeClassName"], pod["priorityClassName"]) == ("nvidia", "research")
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert template["metadata"]["annotations"] == job["metadata"]["annotations"] == PLATFORM.annotations
    (memory,) = [volume for volume in pod["volumes"] if volume["name"] == "shared-memory"]
    assert memory["emptyDir"] == {"medium": "Memory", "sizeLimit": "12Gi"}
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container(job)["volumeMounts"]
    assert PLATFORM.labels is not None and PLATFORM.labels.items() <= job["metadata"]["labels"].items()
    assert template["metadata"]["labels"]["team"] == "review"
    assert not [key for key in template["metadata"]["labels"] if key.startswith("kueue.x-k8s.io/")]
    plain = manifest()["spec"]["template"]
    assert not {"runtimeClassName", "priorityClassName", "imagePullSecrets"} & set(plain["spec"])
    assert "annotations" not in plain["metadata"] and "shared-memory" not in str(plain["spec"]["volumes"])


@pytest.mark.parametrize(
    ("queue", "label", "born"),
    [(None, None, None), ("gpus", None, True), (None, "gpus", True), ("gpus", "", None), ("gpus", "big", True)],
)
def test_a_job_that_names_a_queue_is_born_suspended(queue: str | None, label: str | None, born: bool | None) -> None:
    settings = JobSettings(labels=None if label is None else {QUEUE_LABEL: label}).queued(queue)
    job = manifest(settings=settings)
    assert job["spec"].get("suspend") == born
    assert job["metadata"]["labels"].get(QUEUE_LABEL) == (queue if label is None else label)
    assert job["metadata"]["labels"][SETTINGS] == settings.digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": {"flywheel.dev/owner-uid": "other"}},
        {"labels": {"batch.kubernetes.io/controller-uid": "other"}},
        {"labels": {"team": "-"}},
        {"annotations": {"container.apparmor.security.beta.kubernetes.io/step": "unconfined"}},
        {"priorityClassName": "system-node-critical"},
        {"shmSize": "much"},
    ],
)
def test_what_is_not_the_users_to_say(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JobSettings.model_validate(wrong)
