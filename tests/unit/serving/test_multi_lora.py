"""A model of Triton's vLLM backend on disk: what a pod that starts at any moment serves is one whole revision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tritonclient.grpc import model_config_pb2

from flywheel.api.adapterdeployment import AdapterDeploymentSpec
from flywheel.api.item import Probe
from flywheel.serving import asking
from flywheel.serving.calls import LoadModel
from flywheel.serving.names import candidate_name
from flywheel.serving.repository import commit, drop, stage
from flywheel.workspace.program import BadInputError, TryLaterError

from .test_neighbours import DIGESTS, folders, interrupted, whole
from .test_verify import contract
from .world import World, run_with

MODEL, MOUNT = "severity", "/models"
TEMPLATE = json.dumps({"model": "/base", "enable_lora": "true", "max_lora_rank": 16})


class KilledError(Exception):
    """The Job's pod is gone."""


def killed() -> None:
    raise KilledError


def prepared(home: Path) -> Path:
    """As a person puts it there."""
    (home / "volume" / MODEL / "1").mkdir(parents=True)
    (home / "volume" / MODEL / "1/model.json").write_text(TEMPLATE)
    (home / "volume" / MODEL / "config.pbtxt").write_text(f'name: "{MODEL}" backend: "vllm"')
    return home / "volume"


def started(repository: Path, model: str) -> str:
    """The adapter of a server that starts now: as its configuration says, and as its engine reads."""
    config: Any = text_format.Parse((repository / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    (version,) = config.version_policy.specific.versions
    folder = repository / model / str(version)
    assert (folder / "model.json").read_text() == TEMPLATE
    names = json.loads((folder / "multi_lora.json").read_text())
    assert config.name == model and list(names) == [MODEL] == [config.parameters["lora_name"].string_value]
    revision = config.parameters["adapter_revision"].string_value
    assert names[MODEL] == f"{MOUNT}/.adapters/{revision.replace(':', '-')}"
    assert whole(repository / ".adapters" / revision.replace(":", "-"), revision)
    return revision


@given(st.lists(st.sampled_from(DIGESTS), min_size=1, max_size=5), st.integers(1, 60))
@settings(deadline=None)
def test_a_pod_that_starts_serves_one_whole_revision_wherever_the_job_was_killed(rolled: list[str], at: int) -> None:
    with folders() as home:
        repository = prepared(home)
        commit(repository, MODEL, home / DIGESTS[0], DIGESTS[0], mount=MOUNT)
        before = DIGESTS[0]
        for digest in rolled:
            stage(repository, MODEL, candidate_name(MODEL, digest), home / digest, digest, mount=MOUNT)
            assert started(repository, MODEL) == before
            assert started(repository, candidate_name(MODEL, digest)) == digest
            try:
                with interrupted(at, killed):
                    commit(repository, MODEL, home / digest, digest, mount=MOUNT)
            except KilledError:
                assert started(repository, MODEL) in (before, digest)
            commit(repository, MODEL, home / digest, digest, mount=MOUNT)
            assert started(repository, MODEL) == digest
            before = digest
        assert (repository / MODEL / "1/model.json").read_text() == TEMPLATE
        assert not (repository / MODEL / "1/multi_lora.json").exists(), "a person's folder is only read"


def test_engines_that_run_keep_what_they_were_started_from() -> None:
    with folders() as home:
        repository = prepared(home)
        for digest in DIGESTS:
            commit(repository, MODEL, home / digest, digest, mount=MOUNT)
        assert sorted(path.name for path in (repository / MODEL).iterdir()) == ["1", "3", "4", "config.pbtxt"]
        drop(repository, DIGESTS)  # whoever asks for it: another deployment does
        kept = {path.name for path in (repository / ".adapters").iterdir()}
        assert kept == {digest.replace(":", "-") for digest in DIGESTS[1:]}


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (None, "has no severity/1/model.json"),
        ("{", "severity/1/model.json is no JSON"),
        ("[]", "does not enable LoRA"),
        ('{"model": "/base"}', "does not enable LoRA"),
        ('{"model": "/base", "enable_lora": false}', "does not enable LoRA"),
    ],
)
def test_what_a_person_has_to_mend_is_said(template: str | None, words: str) -> None:
    with folders() as home:
        repository = prepared(home)
        file = repository / MODEL / "1/model.json"
        file.unlink() if template is None else file.write_text(template)
        candidate, digest = candidate_name(MODEL, DIGESTS[0]), DIGESTS[0]
        with pytest.raises(TryLaterError, match=words) as caught:
            stage(repository, MODEL, candidate, home / digest, digest, mount=MOUNT)
        assert caught.value.reason == "TargetUnavailable"
        assert not (repository / candidate).exists()


def spec(backend: str, **more: object) -> dict[str, Any]:
    volume = {"persistentVolumeClaim": {"claimName": "models"}}
    target = {"serviceRef": {"name": "s"}, "model": MODEL, "repository": volume, "backend": backend}
    return {"target": {"triton": target}, **more}


def test_what_cannot_be_under_this_backend_is_refused() -> None:
    for wrong, words in (({"keep": 0}, "keep must be at least 1"), ({"pin": "Base"}, "naming no lora_name")):
        AdapterDeploymentSpec.model_validate(spec("Python", **wrong))
        with pytest.raises(ValidationError, match=words):
            AdapterDeploymentSpec.model_validate(spec("Vllm", **wrong))


def test_the_steps_are_told_where_the_pods_have_the_repository() -> None:
    for backend, wanted in (("Python", None), ("Vllm", "/mnt")):
        world = World(runs=[run_with(1)])
        target = spec(backend)["target"]["triton"] | {"mountPath": "/mnt"}
        world.edit(target={"triton": target})
        world.settle()
        published = [asked for asked in world.requests.values() if asked.step == "publish"]
        assert [asked.phase for asked in published] == ["stage", "commit"]
        assert {asked.mount_path for asked in published} == {wanted}


class Pod:
    """A pod of this backend, with an engine that says what it is told to."""

    asked: tuple[str, str, dict[str, Any]]

    def __init__(self, says: str | None) -> None:
        self._says = says

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def lora_name(self, _model: str) -> str:
        return MODEL

    def revision(self, _model: str) -> str:
        return DIGESTS[0]

    def ask_vllm(self, model: str, text: str, sampling: dict[str, Any]) -> str | None:
        self.asked = (model, text, sampling)
        return self._says


@pytest.mark.parametrize(("says", "label"), [('{"issue_type":"major"}', "major"), ("major", None), (None, None)])
def test_a_probe_is_asked_by_text_with_every_setting(
    monkeypatch: pytest.MonkeyPatch, says: str | None, label: str | None
) -> None:
    pod, candidate = Pod(says), candidate_name(MODEL, DIGESTS[0])
    monkeypatch.setattr(asking, "TritonPod", lambda _address, access: pod)
    probe = Probe(id="1", input={"code": "x = 1"}, candidate="major")
    with asking.asking("triton", "one:8001", contract()) as asker:
        assert asker.ask(candidate, probe) == asking.Said(label, DIGESTS[0])
    sampling = {"temperature": 0, "repetition_penalty": 1.0, "stop_token_ids": [1], "max_tokens": 8}
    model, text, settings = pod.asked
    assert (model, settings) == (candidate, sampling | {"lora_name": MODEL})
    assert "x = 1" in text
    chat = contract().model_copy(update={"chat_template": "sha256:1"})
    with asking.asking("triton", "one:8001", chat) as asker, pytest.raises(BadInputError, match="chat template"):
        asker.ask(candidate, probe)


@pytest.mark.parametrize("backend", ["Python", "Vllm"])
def test_no_more_than_two_engines_meet(backend: str) -> None:
    world, beside = World(runs=[run_with(1)]), list[bool]()
    world.edit(**spec(backend))
    for _ in range(40):
        plan = world.decide()
        loads = [call for call in plan.calls if isinstance(call, LoadModel) and call.model == MODEL]
        beside += [bool(world.pods[call.endpoint.pod].candidates) for call in loads]
        world.end_jobs()
    assert world.deployment.status.serving is not None
    assert beside == [backend == "Python"] * 2, "one load a pod; our own model's candidate goes afterwards"
