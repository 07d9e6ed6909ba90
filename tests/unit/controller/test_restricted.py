"""Every Job of every decision is restricted, whatever happened before and whatever `jobs` says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from resources import BUCKET, CLAIM, NOW, curriculum, curriculum_spec, evaluation, judged_task, ready, run_spec
from restricted import check_job
from simulation import Script, World

from flywheel.api.jobs import EnvVar, JobSettings, Resources
from flywheel.api.workspace import WorkspaceRef
from flywheel.loop.curriculum import decide_curriculum
from flywheel.loop.observed import CurriculumObserved

SHORT = {"retention": {"iterations": 1}}
OUTCOMES = ("success", "evicted", "no pod", "unreadable", "pod gone")
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True).filter(lambda name: name[:9] != "FLYWHEEL_")
entries = st.fixed_dictionaries(
    {"name": names, "value": st.sampled_from(["x", "$(FLYWHEEL_TEACHER_API_KEY)", "$$(HOME)", "../..", "\n"])}
)
quantities = st.dictionaries(
    st.sampled_from(["memory", "cpu"]), st.sampled_from(["1", "64Mi", "0.5Gi", "100Gi", "1e9"])
)
written = st.fixed_dictionaries(
    {},
    optional={
        "image": st.just("own:1"),
        "resources": st.fixed_dictionaries({}, optional={"requests": quantities, "limits": quantities}),
        "timeout": st.sampled_from(["90s", "1h"]),
        "nodeSelector": st.just({"gpu": "h200"}),
        "tolerations": st.just([{"key": "gpu", "operator": "Exists"}]),
        "env": st.lists(entries, max_size=3, unique_by=lambda entry: entry["name"]),
    },
)
steps = st.builds(lambda name, own: {"name": name, **own}, st.sampled_from(["exam", "train", "report"]), written)
places = st.sampled_from([CLAIM, BUCKET])
jobs = st.fixed_dictionaries({"defaults": written}, optional={"steps": st.lists(steps, max_size=1)})


@settings(max_examples=60)
@example(b"", {"defaults": {}}, CLAIM)
@example(b"", {"defaults": {}}, BUCKET)
@given(st.binary(max_size=120), jobs, places)
def test_every_job_of_a_run(numbers: bytes, said: dict[str, Any], place: WorkspaceRef) -> None:
    spec = judged_task() | {"workspace": place.to_json_object()}
    asked = run_spec(maxIterations=2) | SHORT | {"jobs": said, "evaluation": evaluation(anchors="people/pairs.jsonl")}
    asked["teacher"] |= {"caBundleRef": {"name": "corp-ca"}}
    world = World(
        Script(numbers),
        asked,
        curriculum(spec, ready()),
        spec,
        OUTCOMES,
    )
    world.to_end()
    if not numbers:
        made = {job.request.step for job in world.created}
        assert made == {"validate", "preflight", "exam", "answer", "evaluate", "train", "test", "judge", "cleanup"}
    for job in world.created:
        check_job(job)


CODE = {"truth": "Teacher", "group": "file"}
SOURCES = [
    {"name": "here", **CODE, "repository": {"path": "code"}},
    {"name": "inside", **CODE, "repository": {"path": "datasets/code"}},
    {"name": "claim", **CODE, "repository": {"path": "src/main", "persistentVolumeClaim": {"claimName": "checkout"}}},
    {
        "name": "map",
        "truth": "Human",
        "group": "file",
        "dataset": {"configMap": {"name": "labelled", "key": "items.jsonl"}},
    },
]


@given(jobs, places, st.lists(st.sampled_from(SOURCES), unique_by=lambda source: source["name"]))
def test_every_job_of_a_curriculum(said: dict[str, Any], place: WorkspaceRef, sources: list[dict[str, Any]]) -> None:
    spec = curriculum_spec() | {"jobs": said, "workspace": place.to_json_object()}
    spec["sources"] = [*spec["sources"], *sources]
    (job,) = decide_curriculum(CurriculumObserved(curriculum(spec), "template"), NOW).create
    check_job(job)


@pytest.mark.parametrize(
    "reaching",
    [
        {"name": "FLYWHEEL_TEACHER_API_KEY", "value": "x"},
        {"name": "FLYWHEEL_REQUEST", "value": "{}"},
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "teacher", "key": "apiKey"}}},
        {"name": "X", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "X=1\nY", "value": ""},
    ],
)
def test_env_reaches_for_nothing_of_ours(reaching: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EnvVar.model_validate(reaching)


@pytest.mark.parametrize(
    "field", ["serviceAccountName", "securityContext", "volumes", "envFrom", "initContainers", "hostNetwork", "command"]
)
def test_what_is_the_operators_cannot_be_said(field: str) -> None:
    with pytest.raises(ValidationError):
        JobSettings.model_validate({field: {}})


@pytest.mark.parametrize("none", [0, "0", "0Gi", "0.0", "00", "0e3", "0m"])
@pytest.mark.parametrize("field", ["requests", "limits"])
def test_a_memory_limit_of_zero_would_be_none(field: str, none: Any) -> None:
    with pytest.raises(ValidationError, match="more than 0"):
        Resources.model_validate({field: {"memory": none}})
    for some in ("0.5Gi", "0.05", "10Mi", 1):
        Resources.model_validate({field: {"memory": some, "nvidia.com/gpu": 0}})
