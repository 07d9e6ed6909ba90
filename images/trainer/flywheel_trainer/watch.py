"""What happens between batches: curve and progress, checkpoints, and the stop on SIGTERM."""

from __future__ import annotations

import math
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl

from flywheel.api.conditions import Reason
from flywheel.api.item import CurvePoint
from flywheel.workspace.program import BadInputError
from flywheel_trainer.batches import TrainingData

_SECONDS = 2.0


class Curve(pl.Callback):
    """Loss, learning rate and epoch of every step; a progress line every two seconds."""

    def __init__(self, data: TrainingData, steps: int, batches_per_epoch: float) -> None:
        self.points: list[CurvePoint] = []
        self._data = data
        self._steps = steps
        self._batches_per_epoch = batches_per_epoch
        self._rate = 0.0
        self._said = 0.0
        self._began: float | None = None
        self._steps_here = 0

    @property
    def steps_per_second(self) -> float:
        """Speed of this attempt, without its first step."""
        if self._began is None or self._steps_here < 2:
            return 0.0
        return (self._steps_here - 1) / (self._ended - self._began)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """The scheduler moves on before the batch's end: the rate that was used is the one from here."""
        self._rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        """Record the step. Registered before `Checkpoints`, so that a checkpoint holds it."""
        self._data.position += 1
        step = self._data.position
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            words = f"the loss is {loss} at step {step}: start a new run with a lower training.learningRate"
            raise BadInputError(words, Reason.TRAINING_DIVERGED)
        epoch = step / self._batches_per_epoch
        self.points.append(CurvePoint(step=step, epoch=round(epoch, 4), loss=loss, learning_rate=self._rate))
        now = self._ended = time.monotonic()
        self._began = self._began or now
        self._steps_here += 1
        if step == self._steps or now - self._said >= _SECONDS:
            self._said = now
            line = f"step={step}/{self._steps} loss={loss:.3f} lr={self._rate:.2g} epoch={epoch:.2f}"
            print(f"progress train {line}", flush=True)

    def state_dict(self) -> dict[str, Any]:
        """Recorded in every checkpoint, so that the curve of a resumed training is whole."""
        return {"points": [point.model_dump() for point in self.points]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Points of the earlier attempts."""
        self.points = [CurvePoint.model_validate(point) for point in state_dict["points"]]


class Checkpoints(pl.Callback):
    """Keeps the newest checkpoint: every few steps, at the end, and when the pod is told to stop.

    `saved` is called after each, and returns when the checkpoint is where the next attempt finds it.
    """

    def __init__(self, folder: Path, data: TrainingData, steps: int, every: int, saved: Callable[[], None]) -> None:
        self.stopped = False
        self._saved = saved
        self._folder = folder
        self._data = data
        self._steps = steps
        self._every = every

    def on_train_start(self, *_: Any) -> None:
        """From here on SIGTERM saves a checkpoint after the batch at work, and ends the training.

        In place of Lightning's own handler: that one leaves between two batches, with nothing saved.
        """
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _signum: int, _frame: FrameType | None) -> None:
        self.stopped = True

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save where it is time to."""
        step = self._data.position
        if self.stopped or step % self._every == 0 or step == self._steps:
            self._save(trainer, step)
        if self.stopped:
            trainer.should_stop = True

    def _save(self, trainer: pl.Trainer, step: int) -> None:
        """Under a temporary name first: a kill in the middle leaves the checkpoint before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished, finished = self._folder / f"unfinished-{step}", self._folder / f"step-{step}"
        trainer.save_checkpoint(unfinished)
        unfinished.rename(finished)
        for old in self._folder.iterdir():
            if old != finished:
                shutil.rmtree(old)
        self._saved()


def carry_over(earlier: Path, folder: Path) -> Path | None:
    """The earlier attempt's newest checkpoint, copied to be this attempt's first.

    An attempt that is killed before it saves one of its own then loses nothing to the next. Its own are there.
    """
    for left in folder.glob("unfinished-*"):
        shutil.rmtree(left)
    newest = newest_checkpoint(earlier)
    if newest is None or earlier == folder:
        return newest
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"unfinished-{newest.name}"
    shutil.copytree(newest, unfinished)
    return unfinished.rename(folder / newest.name)


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that the last attempt left, if any."""
    found = [path for path in folder.glob("step-*") if path.is_dir()]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)
