"""The trainer's program: the adapter it leaves, and a training that is stopped and goes on."""

from __future__ import annotations

import json
import math
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlbed import STEPS, Bed, training

from flywheel.api.conditions import Reason
from flywheel.api.request import Input
from flywheel.api.result import StepResult, TrainFigures
from flywheel.workspace.adapter import FOLDER, adapter_digest
from flywheel.workspace.program import BadInputError
from flywheel.workspace.sidecar import serve


def figures(result: StepResult) -> TrainFigures:
    assert isinstance(result.figures, TrainFigures)
    return result.figures


def test_the_loss_falls_and_is_recorded_at_every_step(bed: Bed, trained: tuple[StepResult, str]) -> None:
    result, log = trained
    curve = bed.lines(f"{result.path}/curve.jsonl")
    assert [point["step"] for point in curve] == list(range(1, STEPS + 1))
    assert figures(result).last_loss < 0.6 * figures(result).first_loss
    assert max(point["learningRate"] for point in curve) == pytest.approx(5e-3)
    assert curve[-1]["learningRate"] < 1e-4 and curve[0]["learningRate"] < 5e-3
    assert f"progress train step={STEPS}/{STEPS} loss=" in log


def test_the_adapter_keeps_its_contract(bed: Bed, trained: tuple[StepResult, str]) -> None:
    result, _ = trained
    folder = f"{result.path}/{FOLDER}"
    config = json.loads(bed.workspace.read_bytes(f"{folder}/adapter_config.json"))
    assert config["base_model_name_or_path"] == "code-review-student" and config["task_type"] == "CAUSAL_LM"
    assert len(config["target_modules"]) == 7
    assert figures(result).adapter == adapter_digest(bed.workspace, folder)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in bed.workspace.local(folder).iterdir())
    assert not bed.workspace.exists(f"{result.path}/checkpoints")


def test_peft_loads_the_adapter_and_it_changes_the_model(bed: Bed, trained: tuple[StepResult, str]) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(bed.model, torch_dtype=torch.float32).eval()
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.inference_mode():
        base = model(ids).logits
        adapted = PeftModel.from_pretrained(model, str(bed.workspace.local(f"{trained[0].path}/{FOLDER}"))).eval()
        assert (adapted(ids).logits - base).abs().max() > 0.1
    updates = [value for name, value in adapted.state_dict().items() if "lora_B" in name]
    assert len(updates) == 28 and all(bool(value.any()) for value in updates)


def test_a_loss_that_is_no_number_ends_the_training_for_good() -> None:
    from flywheel_trainer.watch import Curve

    curve = Curve(cast("Any", SimpleNamespace(position=6)), steps=40, batches_per_epoch=5)
    with pytest.raises(BadInputError, match=r"step 7.*learningRate") as caught:
        curve.on_train_batch_end(cast("Any", None), None, {"loss": math.nan})
    assert caught.value.reason is Reason.TRAINING_DIVERGED


@pytest.fixture
def kept(bed: Bed) -> Iterator[dict[str, list[str]]]:
    """The checkpoints in each attempt's folder when the sidecar was last asked to keep it."""
    seen: dict[str, list[str]] = {}

    def do(operation: str, *paths: str) -> bool:
        if operation == "keep":
            seen[paths[0]] = [path.name for path in bed.workspace.local(f"{paths[0]}/checkpoints").iterdir()]
        return True

    with tempfile.TemporaryDirectory() as folder, serve(Path(folder) / "socket", do) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bed.sidecar = Path(folder) / "socket"
        yield seen
        bed.sidecar = None
        server.shutdown()


def test_a_stopped_training_goes_on_with_the_same_batches(
    bed: Bed, curriculum: Input, data: Input, trained: tuple[StepResult, str], kept: dict[str, list[str]]
) -> None:
    """Before a sidecar, which is asked to keep each checkpoint: without that, the pod's end would be the end of it."""
    whole, _ = trained
    first = "runs/test/r/iter-1/train/a2"
    bed.terminated("flywheel_trainer.train", first, training(bed), [curriculum, data])
    assert not bed.workspace.exists(f"{first}/manifest.json")
    assert [path.name.split("-")[0] for path in bed.workspace.local(f"{first}/checkpoints").iterdir()] == ["step"]

    assert kept[first] == [path.name for path in bed.workspace.local(f"{first}/checkpoints").iterdir()]

    killed = "runs/test/r/iter-1/train/a3"
    process = bed.start("flywheel_trainer.train", killed, training(bed, resume=first), [curriculum, data])
    assert process.stdout is not None
    assert any("goes on from step-" in line for line in process.stdout), "the checkpoint was not found"
    process.kill()  # before it saved a checkpoint of its own
    process.communicate()
    assert kept[killed] == kept[first], "what was carried over is kept, too"

    second, _ = bed.run(
        "flywheel_trainer.train", "runs/test/r/iter-1/train/a4", training(bed, resume=killed), [curriculum, data]
    )
    assert 0 < figures(second).resumed_at < STEPS
    assert bed.lines(f"{second.path}/order.jsonl") == bed.lines(f"{whole.path}/order.jsonl")
    resumed, uninterrupted = (bed.lines(f"{result.path}/curve.jsonl") for result in (second, whole))
    assert [point["step"] for point in resumed] == [point["step"] for point in uninterrupted]
    for one, other in zip(resumed, uninterrupted, strict=True):
        # Equal losses show that the same batches were seen at the same rate, from the same weights and moments.
        assert one == pytest.approx(other, rel=2e-3)
    assert figures(second).adapter != "" and figures(second).last_loss == pytest.approx(
        figures(whole).last_loss, rel=2e-3
    )
