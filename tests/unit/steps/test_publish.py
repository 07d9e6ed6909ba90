"""publish: an adapter lands under its digest, whole, readable and once, and in the server's repository."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from typing import Any

import pytest

from flywheel.api.result import PublishFigures, TrainFigures
from flywheel.workspace.store import Workspace


def test_stage_brings_adapter_card_and_probes(shop: Any) -> None:
    ran = shop.publish()
    assert ran.code == 0, ran.log
    assert ran.result.figures == PublishFigures(phase="stage", adapter=shop.digest)
    names = {path.name for path in shop.folder.iterdir()}
    assert names == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "contract.json",
        "card.json",
        "probes.jsonl",
        "manifest.json",
    }
    assert {path.stat().st_mode & 0o777 for path in shop.folder.iterdir()} == {0o644}
    assert shop.folder.stat().st_mode & 0o777 == 0o755
    card = json.loads((shop.folder / "card.json").read_text())
    assert (card["run"], card["iteration"], card["test"]["arms"]["candidate"]["accuracy"]) == ("severity", 2, 0.8)
    assert card["trainedGroups"] is None, "not known: this request names no revision"
    assert shop.digest in (shop.repository / "severity-cand-12345678/config.pbtxt").read_text()
    assert shop.digest not in (shop.repository / "severity/config.pbtxt").read_text(), "not the stable name yet"


def test_the_card_keeps_the_groups_that_were_trained_on_and_no_others(shop: Any) -> None:
    prepared = shop.bench.prepare()
    shop.inputs.append(prepared.entry("curriculum", "pools/curriculum"))
    ran = shop.publish()
    assert ran.code == 0, ran.log
    kept = json.loads((shop.folder / "card.json").read_text())["trainedGroups"]
    groups = {pool: groups_of(shop, prepared, pool) for pool in ("curriculum", "validation", "test", "probe")}
    assert set(kept) == groups.pop("curriculum") and len(kept) == len(set(kept)) > 1
    assert all(held_out and not held_out & set(kept) for held_out in groups.values())


def groups_of(shop: Any, prepared: Any, pool: str) -> set[str]:
    lines = shop.bench.lines(prepared, f"pools/{pool}/items.jsonl")
    return {"sha256:" + hashlib.sha256(line["group"].encode()).hexdigest() for line in lines}


def test_twice_is_once(shop: Any) -> None:
    first = shop.publish()
    before = {path.name: path.stat().st_mtime_ns for path in shop.folder.iterdir()}
    second = shop.publish()
    assert second.result.manifest == first.result.manifest
    assert {path.name: path.stat().st_mtime_ns for path in shop.folder.iterdir()} == before


def test_commit_names_the_adapter_under_the_stable_model(shop: Any) -> None:
    staged = shop.publish()
    shop.inputs = []
    committed = shop.publish("commit")
    assert committed.code == 0, committed.log
    assert committed.result.manifest == staged.result.manifest
    assert shop.digest in (shop.repository / "severity/config.pbtxt").read_text()


def test_a_killed_attempts_leftovers_do_not_hurt(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own are removed; those of another AdapterDeployment may be at work."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "rename", killed)
        for owner in ("severity", "other"):
            with pytest.raises(KeyboardInterrupt):
                shop.publish(owner=owner)
    left = {path.name for path in shop.folder.parent.iterdir()}
    for path in shop.folder.parent.iterdir():
        (path / "strange.bin").write_text("half")
    assert len(left) == 2
    assert shop.publish().code == 0
    after = {path.name for path in shop.folder.parent.iterdir()}
    assert len(after & left) == 1 and after - left == {shop.folder.name}
    assert not (shop.folder / "strange.bin").exists()


def test_another_adapter_than_named_is_refused(shop: Any) -> None:
    digest = "sha256:" + "0" * 64
    ran = shop.publish(adapterDigest=digest)
    assert (ran.code, ran.result.error.reason) == (64, "AdapterDamaged")
    assert not (shop.folder.parent / digest.replace(":", "-")).exists()
    assert not list(shop.repository.glob("severity-cand-*"))


def test_a_published_adapter_that_was_changed_is_refused(shop: Any) -> None:
    shop.publish()
    (shop.folder / "contract.json").write_text('{"version": 2}')
    ran = shop.publish("commit")
    assert ran.code == 64
    assert shop.digest not in (shop.repository / "severity/config.pbtxt").read_text()


@pytest.mark.parametrize("name", ["adapter_model.bin", "training_args.pt", "optimizer.pkl"])
def test_a_pickle_beside_the_adapter_is_not_published(shop: Any, name: str) -> None:
    """Whoever loads a pickle runs what it says."""
    clean = shop.publish().result.figures
    shutil.rmtree(shop.folder)
    add_to_adapter(shop, name, PICKLE)
    ran = shop.publish()
    assert ran.code == 0 and ran.result.figures == clean, ran.log
    assert not [path for path in shop.bench.root.rglob(name) if "runs" not in path.parts]


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_a_pickle_in_place_of_the_weights_is_refused(shop: Any, name: str) -> None:
    (shop.bench.root / WEIGHTS).unlink()
    add_to_adapter(shop, name, PICKLE)
    ran = shop.publish()
    assert (ran.code, ran.result.error.reason) == (64, "AdapterDamaged")
    assert not list(shop.repository.glob("severity-cand-*"))


class Exploding:
    """Its pickle runs code when it is loaded."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was loaded",)


PICKLE = pickle.dumps(Exploding())
WEIGHTS = "runs/review/severity-1/iter-2/train/a1/adapter/adapter_model.safetensors"


def add_to_adapter(shop: Any, name: str, data: bytes) -> None:
    """As a trainer that is not ours would have left and sealed it."""
    train = shop.bench.root / WEIGHTS.removesuffix("/adapter/adapter_model.safetensors")
    (train / "adapter" / name).write_bytes(data)
    trained = TrainFigures(adapter=shop.digest, steps=3, first_loss=2, last_loss=1)
    (train / "manifest.json").unlink()
    sealed = shop.bench.finished(str(train.relative_to(shop.bench.root)), trained)
    shop.inputs[0] = {"name": "adapter", **sealed, "parts": ["adapter"]}
