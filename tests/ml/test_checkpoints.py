"""Where a training goes on from: its own checkpoints, then those of the attempt before; with the same batches only."""

from __future__ import annotations

from pathlib import Path

from flywheel.api.request import StepRequest, TrainParameters
from flywheel.workspace.program import Attempt
from flywheel.workspace.store import Workspace
from flywheel_trainer.train import _earlier
from flywheel_trainer.watch import carry_over

LAST, OWN = "runs/x/a1", "runs/x/a2"
BATCHES: list[dict[str, object]] = [{"step": 1, "ids": ["a"]}]


def test_a_stopped_pod_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    parameters = TrainParameters.model_validate(
        {"model_path": "/m", "batch_size": 1, "learning_rate": "1e-4", "lora": {}}
    )
    request = StepRequest(namespace="n", owner="x", attempt=2, output=OWN, parameters=parameters)
    attempt, own = Attempt(request, workspace), tmp_path / OWN / "checkpoints"
    assert _earlier(attempt, BATCHES, None) is None
    workspace.write_jsonl(f"{LAST}/order.jsonl", BATCHES)
    (tmp_path / LAST / "checkpoints/step-5").mkdir(parents=True)
    workspace.write_jsonl(f"{OWN}/order.jsonl", BATCHES)
    (own / "unfinished-5").mkdir(parents=True)
    last = _earlier(attempt, BATCHES, LAST)
    assert last == tmp_path / LAST / "checkpoints" and not own.exists()
    assert carry_over(last, own) == own / "step-5"
    (own / "unfinished-9").mkdir()
    assert _earlier(attempt, BATCHES, LAST) == own
    assert carry_over(own, own) == own / "step-5"
    assert [path.name for path in own.iterdir()] == ["step-5"]
    assert _earlier(attempt, [{"step": 1, "ids": ["b"]}], None) is None and not own.exists()
