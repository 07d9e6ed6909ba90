"""Several AdapterDeployments on one server and one volume: none touches another's adapters, at any moment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import STALLED
from flywheel.api.target import BASE, NimTarget, TritonTarget
from flywheel.controller.cache import Cache
from flywheel.controller.reconcile_deployment import _others  # pyright: ignore[reportPrivateUsage]
from flywheel.controller.resources import DEPLOYMENT
from flywheel.serving import repository, store
from flywheel.serving.names import adapter_name, candidate_name, is_adapter_name, is_candidate_name
from flywheel.serving.neighbours import elder
from flywheel.serving.placing import SERVED_FILES

from . import by_name_world, world

MODELS = ("severity", "severity-cand", "severity-x")  # each begins like the others
DIGESTS = tuple(f"sha256:{number}" + "0" * 63 for number in range(3))
Step = tuple[str, str, str]  # what, the model, the adapter
TRITON_STEPS = st.tuples(
    st.sampled_from(["stage", "commit", "drop", "discard"]), st.sampled_from(MODELS), st.sampled_from(DIGESTS)
)
STORE_STEPS = st.tuples(st.sampled_from(["bring", "retire"]), st.sampled_from(MODELS), st.sampled_from(DIGESTS))


@contextmanager
def folders() -> Iterator[Path]:
    """Adapters to take from, and an empty volume beside them."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for digest in DIGESTS:
            (home / digest).mkdir()
            for file in SERVED_FILES:
                (home / digest / file).write_text(f"{file} of {digest}")
        (home / "volume").mkdir()
        yield home


def whole(folder: Path, digest: str) -> bool:
    return all((folder / file).read_text() == f"{file} of {digest}" for file in SERVED_FILES)


@contextmanager
def interrupted(at: int, by: Callable[[], None]) -> Iterator[None]:
    """Before the so-many-th look at, or change of, the volume somebody else does something whole."""
    looks, names = [0], ("rename", "exists", "mkdir", "read_text", "glob", "iterdir", "replace")
    true = {name: getattr(Path, name) for name in names}

    def watched(name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            looks[0] += 1
            if looks[0] == at:
                by()
            return true[name](*given, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(Path, name, watched(name))
        yield


@dataclass
class Triton:
    """One repository, and what each deployment has asked for last."""

    home: Path
    stable: dict[str, str] = field(default_factory=dict[str, str])
    candidates: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        for model in MODELS:
            (self.volume / model / "1").mkdir(parents=True)
            (self.volume / model / "1/model.py").write_text("# the model")
            (self.volume / model / "config.pbtxt").write_text(f'name: "{model}" backend: "python"')

    @property
    def volume(self) -> Path:
        return self.home / "volume"

    def do(self, what: str, model: str, digest: str) -> None:
        source, candidate = self.home / digest, candidate_name(model, digest)
        if what == "stage":
            repository.stage(self.volume, model, candidate, source, digest)
            self.candidates[model] = digest
        elif what == "commit":
            repository.commit(self.volume, model, source, digest)
            self.stable[model] = digest
        elif what == "drop":
            repository.drop(self.volume, [digest])
        else:
            repository.discard(self.volume, candidate)
            if self.candidates.get(model) == digest:
                del self.candidates[model]

    def check(self) -> None:
        named = [(model, digest) for model, digest in self.stable.items()]
        named += [(candidate_name(model, digest), digest) for model, digest in self.candidates.items()]
        for model, digest in named:
            assert repository.committed(self.volume, model) == digest
            assert whole(self.volume / ".adapters" / digest.replace(":", "-"), digest)
        models = {path.name for path in self.volume.iterdir() if not path.name.startswith(".")}
        assert models == {*MODELS, *(candidate_name(*entry) for entry in self.candidates.items())}
        assert not list(self.volume.rglob(".tmp-*"))


@given(st.lists(TRITON_STEPS, max_size=12))
@settings(deadline=None)
def test_deployments_on_one_repository_never_touch_each_others_adapters(steps: list[Step]) -> None:
    with folders() as home:
        server = Triton(home)
        for step in steps:
            server.do(*step)
            server.check()


@given(st.lists(TRITON_STEPS, max_size=4), TRITON_STEPS, TRITON_STEPS, st.integers(1, 40))
@settings(deadline=None, max_examples=300)
def test_nor_while_the_other_one_is_at_work(before: list[Step], outer: Step, inner: Step, at: int) -> None:
    """The Jobs of one deployment never run at once; those of two do."""
    if outer[1] == inner[1]:
        return
    with folders() as home:
        server = Triton(home)
        for step in before:
            server.do(*step)
        with interrupted(at, lambda: server.do(*inner)):
            server.do(*outer)
        server.check()


@pytest.mark.parametrize("at", range(1, 30))
@pytest.mark.parametrize(
    ("outer", "inner"), [("stage", "drop"), ("drop", "stage"), ("stage", "stage"), ("commit", "drop")]
)
def test_the_same_adapter_is_staged_and_dropped_at_once(outer: str, inner: str, at: int) -> None:
    with folders() as home:
        server = Triton(home)
        server.do("stage", MODELS[2], DIGESTS[0])
        server.do("discard", MODELS[2], DIGESTS[0])  # it is there, and nobody names it
        with interrupted(at, lambda: server.do(inner, MODELS[1], DIGESTS[0])):
            server.do(outer, MODELS[0], DIGESTS[0])
        server.check()


@given(st.lists(STORE_STEPS, max_size=12))
@settings(deadline=None)
def test_deployments_on_one_store_never_touch_each_others_adapters(steps: list[Step]) -> None:
    with folders() as home:
        wanted: set[tuple[str, str]] = set()
        for what, model, digest in steps:
            name = adapter_name(model, digest)
            if what == "bring":
                store.bring(home / "volume", model, name, home / digest, digest)
                wanted.add((model, digest))
            else:
                store.retire(home / "volume", model, [name])
                wanted.discard((model, digest))
            assert {path.name for path in (home / "volume").iterdir()} == {adapter_name(*entry) for entry in wanted}
            assert all(whole(home / "volume" / adapter_name(*entry), entry[1]) for entry in wanted)


PARTS = st.sampled_from(["severity", "x", "cand", "01234567", "0123456789ab", "a.b"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("-".join)
VOLUME = {"persistentVolumeClaim": {"claimName": "models"}}


def triton_target(model: str) -> TritonTarget:
    return TritonTarget.model_validate({"serviceRef": {"name": "s"}, "model": model, "repository": VOLUME})


def admitted(model: str) -> bool:
    try:
        triton_target(model)
    except ValidationError:
        return False
    return True


@given(NAMES.filter(admitted), NAMES.filter(admitted), st.sampled_from(DIGESTS))
def test_a_name_on_a_server_is_one_models(one: str, other: str, digest: str) -> None:
    theirs = {other, candidate_name(other, digest)}
    if one != other:
        assert not {one, candidate_name(one, digest)} & theirs
        assert not any(is_candidate_name(one, name) for name in theirs)
        assert not is_adapter_name(one, adapter_name(other, digest))
    assert is_candidate_name(one, candidate_name(one, digest)) and is_adapter_name(one, adapter_name(one, digest))


def test_names_that_could_be_taken_for_others_are_refused() -> None:
    with pytest.raises(ValidationError, match="must not end like a candidate's"):
        triton_target("severity-cand-01234567")
    nim = {"serviceRef": {"name": "s"}, "model": "a.b", "store": VOLUME}
    with pytest.raises(ValidationError, match="must not be that of an adapter"):
        NimTarget.model_validate(nim | {"baseModel": "a.b-0123456789ab"})
    for base in ("a-b-0123456789ab", "a.b", "a.b-0123456789abc"):
        NimTarget.model_validate(nim | {"baseModel": base})


def deployed(name: str, seconds: int = 0, service: str = "s", claim: str = "c", model: str = "m") -> AdapterDeployment:
    target = {"serviceRef": {"name": service}, "model": model}
    target |= {"repository": {"persistentVolumeClaim": {"claimName": claim}}}
    created = (world.START + timedelta(seconds=seconds)).isoformat()
    metadata = {"name": name, "namespace": "review", "uid": f"uid-{name}", "creationTimestamp": created}
    return AdapterDeployment.model_validate({"metadata": metadata, "spec": {"target": {"triton": target}}})


@st.composite
def neighbourhoods(draw: st.DrawFn) -> list[AdapterDeployment]:
    pick = st.tuples(st.integers(0, 2), *[st.sampled_from(["a", "b"])] * 3)
    return [deployed(f"d{number}", *draw(pick)) for number in range(draw(st.integers(1, 5)))]


@given(neighbourhoods())
def test_of_two_with_one_name_the_younger_gives_way(all_of_them: list[AdapterDeployment]) -> None:
    for one in all_of_them:
        for other in all_of_them:
            ours, theirs = one.spec.target.server, other.spec.target.server
            same_volume = one.spec.target.repository == other.spec.target.repository
            shared = ours.service_ref == theirs.service_ref or same_volume
            first = elder(one, [other])
            second = elder(other, [one])
            if one.metadata.uid != other.metadata.uid and shared and ours.model == theirs.model:
                assert (first is None) != (second is None), "exactly one of the two"
                assert elder(one if second is None else other, all_of_them) is not None
            else:
                assert first is None and second is None
    oldest = min(all_of_them, key=lambda one: (one.metadata.creation_timestamp, one.metadata.name))
    assert elder(oldest, all_of_them) is None


@pytest.mark.parametrize("make", [lambda: world.World(), lambda: by_name_world.World(by_name_world.deployment("vllm"))])
def test_the_younger_does_nothing_until_the_older_is_gone(make: Callable[[], Any]) -> None:
    here = make()
    here.runs = [world.run_with(1)]
    value = here.deployment.to_json_object()
    value["metadata"] |= {"name": "older", "uid": "older", "creationTimestamp": world.START.isoformat()}
    here.others = (AdapterDeployment.model_validate(value),)
    for _ in range(5):
        plan = here.decide()
        assert not plan.create and not plan.calls
    assert here.condition(STALLED) == ("True", "ModelTaken")
    (condition,) = (entry for entry in here.deployment.status.conditions if entry.type == STALLED)
    assert "AdapterDeployment older, which is older, has the model name severity" in condition.message
    assert here.writes == 1
    value["metadata"] |= {"deletionTimestamp": world.START.isoformat()}
    here.others = (AdapterDeployment.model_validate(value),)
    here.settle()
    assert here.deployment.status.serving.digest == world.digest(1)


def test_others_are_found_by_their_model_name_whatever_serves_them() -> None:
    cache = Cache()

    def kept(name: str, target: dict[str, Any], namespace: str = "review") -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1"}
        cache.update(DEPLOYMENT, item := {"metadata": metadata, "spec": {"target": target}})
        return item

    triton = {"triton": {"serviceRef": {"name": "s"}, "model": "severity", "repository": VOLUME}}
    nim = {"nim": {"serviceRef": {"name": "s"}, "model": "severity", "baseModel": "student", "store": VOLUME}}
    own = AdapterDeployment.model_validate(kept("own", triton))
    kept("same", triton)
    kept("nim", nim)
    kept("elsewhere", triton, namespace="another")
    kept("unlike", {"triton": triton["triton"] | {"model": "severity-x"}})
    kept("broken", {"triton": {"model": "severity"}})
    tools: Any = SimpleNamespace(cache=cache)
    assert sorted(other.metadata.name for other in _others(tools, "review", own)) == ["nim", "same"]


@given(st.sampled_from([*(f"sha256:{letter * 64}" for letter in "0af"), BASE]), st.sampled_from(["severity", "a-cand"]))
def test_every_candidate_is_known_by_its_name_the_bare_student_too(digest: str, model: str) -> None:
    assert is_candidate_name(model, candidate_name(model, digest))
    assert not is_candidate_name(f"{model}-cand", candidate_name(model, digest))
    assert not is_candidate_name(model, f"{model}-cand-staging")
