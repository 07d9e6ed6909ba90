"""publish: an adapter lands under its digest, whole, readable and once, and in the server's repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save

from flywheel.api.result import Accuracy, MeasureFigures, PublishFigures, TrainFigures
from flywheel.workspace.adapter import adapter_digest

numpy = pytest.importorskip("numpy")
HOME = "runs/review/severity-1/iter-2"
MODEL_CONFIG = 'name: "severity"\nbackend: "python"\nmax_batch_size: 0\n'


class Shop:
    """A trained adapter, its test, and a server's repository."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        workspace, folder = bench.workspace, f"{HOME}/train/a1/adapter"
        workspace.write_json(
            f"{folder}/adapter_config.json",
            {"peft_type": "LORA", "base_model_name_or_path": "student", "task_type": "CAUSAL_LM", "r": 2},
        )
        workspace.write_json(f"{folder}/contract.json", {"version": 1})
        weights = {"q.lora_A.weight": numpy.ones((2, 4), numpy.float32)}
        workspace.write_bytes(f"{folder}/adapter_model.safetensors", save(weights))
        self.digest = adapter_digest(workspace, folder)
        workspace.write_jsonl(f"{HOME}/train/a1/curve.jsonl", [{"step": 1}])
        trained = TrainFigures(adapter=self.digest, steps=3, first_loss=2, last_loss=1, steps_per_second=1)
        self.inputs = [{"name": "adapter", **bench.finished(f"{HOME}/train/a1", trained), "parts": ["adapter"]}]
        workspace.write_jsonl(f"{HOME}/test/a1/probes.jsonl", [{"id": "1", "input": {}, "candidate": "major"}])
        arm = Accuracy(accuracy=0.8, low=0.7, high=0.9)
        tested = MeasureFigures(step="test", items=60, arms={"candidate": arm}, probes=1)
        self.inputs.append({"name": "measured", **bench.finished(f"{HOME}/test/a1", tested)})
        self.repository = bench.root / "models"
        (self.repository / "severity/1").mkdir(parents=True)
        (self.repository / "severity/config.pbtxt").write_text(MODEL_CONFIG)
        (self.repository / "severity/1/model.py").write_text("")

    @property
    def folder(self) -> Path:
        return self.bench.root / f"adapters/review/{self.digest.replace(':', '-')}"

    def publish(self, phase: str = "stage", **changes: Any) -> Any:
        parameters = {
            "phase": phase,
            "adapterDigest": self.digest,
            "repositoryPath": str(self.repository),
            "model": "severity",
            "candidateModel": "severity-cand-12345678",
            "run": "severity",
            "runIteration": 2,
            **changes,
        }
        return self.bench.run("publish", "adapters/review", parameters, inputs=self.inputs)


@pytest.fixture
def shop(bench: Any) -> Shop:
    return Shop(bench)


def test_stage_brings_adapter_card_and_probes(shop: Shop) -> None:
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
    assert shop.digest in (shop.repository / "severity-cand-12345678/config.pbtxt").read_text()
    assert shop.digest not in (shop.repository / "severity/config.pbtxt").read_text(), "not the stable name yet"


def test_twice_is_once(shop: Shop) -> None:
    first = shop.publish()
    before = {path.name: path.stat().st_mtime_ns for path in shop.folder.iterdir()}
    second = shop.publish()
    assert second.result.manifest == first.result.manifest
    assert {path.name: path.stat().st_mtime_ns for path in shop.folder.iterdir()} == before


def test_commit_names_the_adapter_under_the_stable_model(shop: Shop) -> None:
    staged = shop.publish()
    shop.inputs = []
    committed = shop.publish("commit")
    assert committed.code == 0, committed.log
    assert committed.result.manifest == staged.result.manifest
    assert shop.digest in (shop.repository / "severity/config.pbtxt").read_text()


def test_a_killed_attempts_leftovers_do_not_hurt(shop: Shop) -> None:
    leftover = shop.folder.parent / f"tmp-{shop.digest[7:23]}-a1"
    leftover.mkdir(parents=True)
    (leftover / "adapter_config.json").write_text("half")
    (leftover / "strange.bin").write_text("half")
    assert shop.publish().code == 0
    assert [path.name for path in shop.folder.parent.iterdir()] == [shop.folder.name]
    assert not (shop.folder / "strange.bin").exists()


def test_another_adapter_than_named_is_refused(shop: Shop) -> None:
    digest = "sha256:" + "0" * 64
    ran = shop.publish(adapterDigest=digest)
    assert (ran.code, ran.result.error.reason) == (64, "AdapterDamaged")
    assert not (shop.folder.parent / digest.replace(":", "-")).exists()
    assert not list(shop.repository.glob("severity-cand-*"))


def test_a_published_adapter_that_was_changed_is_refused(shop: Shop) -> None:
    shop.publish()
    (shop.folder / "contract.json").write_text('{"version": 2}')
    ran = shop.publish("commit")
    assert ran.code == 64
    assert shop.digest not in (shop.repository / "severity/config.pbtxt").read_text()
