"""NVIDIA NeMo's llm.finetune with LoRA, on CPU or GPU, set up for one training."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from flywheel.api.item import CurvePoint
from flywheel.api.request import Lora
from flywheel.data.tokens import Encoded
from flywheel_student.model import available_cpus, compute_type
from flywheel_student.preflight import target_patterns
from flywheel_trainer.batches import TrainingData
from flywheel_trainer.schedule import share_of_peak
from flywheel_trainer.watch import Checkpoints, Curve, carry_over, newest_checkpoint

log = logging.getLogger(__name__)

_CHECKPOINTS_PER_TRAINING = 10


@dataclass(frozen=True)
class Plan:
    """All that decides a training."""

    model: Path
    examples: Sequence[Encoded]
    order: Sequence[Sequence[int]]
    pad_id: int
    learning_rate: float
    lora: Lora
    seed: int
    checkpoints: Path
    resume: Path | None
    saved: Callable[[], None] = lambda: None  # after each checkpoint


@dataclass(frozen=True)
class Outcome:
    """What came of it; `adapter` is the Hugging Face adapter folder that NeMo wrote."""

    adapter: Path
    curve: list[CurvePoint]
    resumed_at: int
    steps_per_second: float


def finetune(plan: Plan) -> Outcome:
    """Train to the end of the order; raises SystemExit 143 when the pod is told to stop, a checkpoint saved."""
    _quiet()
    import lightning.pytorch as pl
    from nemo import lightning as nl
    from nemo.collections import llm

    from flywheel_trainer.answers import AnswersOnly

    torch.set_num_threads(available_cpus())
    gpu = torch.cuda.is_available()
    pl.seed_everything(plan.seed, verbose=False)
    steps = len(plan.order)
    data = TrainingData(plan.examples, plan.order, plan.pad_id)
    curve = Curve(data, steps, len(plan.examples) / data.micro_batch_size)
    keeper = Checkpoints(
        plan.checkpoints, data, steps, every=max(10, steps // _CHECKPOINTS_PER_TRAINING), saved=plan.saved
    )
    model = AnswersOnly(
        model_name=str(plan.model),
        default_dtype=compute_type(),
        use_linear_ce_loss=False,
        attn_implementation="sdpa",
        device_map={"": 0} if gpu else "cpu",
    )
    strategy = pl.strategies.SingleDeviceStrategy(
        device="cuda:0" if gpu else "cpu", checkpoint_io=model.make_checkpoint_io(adapter_only=True)
    )
    trainer = nl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        num_nodes=1,
        strategy=strategy,
        precision="bf16-mixed" if gpu else "32-true",
        # The order has all batches of all epochs: to Lightning it is one epoch.
        max_epochs=1,
        gradient_clip_val=1.0,
        limit_val_batches=0.0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=None,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[curve, keeper],
    )
    resume = carry_over(plan.resume, plan.checkpoints) if plan.resume is not None else None
    if resume is not None:
        plan.saved()  # an attempt that is killed before a checkpoint of its own loses nothing to the next
        log.info("goes on from %s", resume.name)
        trainer.ckpt_path = resume
    with tempfile.TemporaryDirectory() as scratch:
        try:
            llm.finetune(
                model=model,
                data=data,
                trainer=trainer,
                log=nl.NeMoLogger(explicit_log_dir=scratch, use_datetime_version=False),
                optim=_optimizer(plan.learning_rate, steps),
                peft=_lora(plan.lora),
                tokenizer=None,  # the data is ids already
            )
        except SystemExit:
            # Lightning leaves with exit code 0 after SIGTERM: a stopped training must not look finished.
            keeper.stopped = True
    if keeper.stopped:
        log.warning("stopped at step %d of %d; the next attempt goes on from there", data.position, steps)
        raise SystemExit(143)
    final = newest_checkpoint(plan.checkpoints)
    if data.position != steps or final is None:
        raise RuntimeError(f"NeMo ended after step {data.position} of {steps}")
    return Outcome(final / "hf_adapter", curve.points, data.resumed_at, curve.steps_per_second)


def _lora(lora: Lora) -> object:
    from nemo.collections import llm

    # NeMo's default "xavier" fills A with numbers between 0 and 1 for Hugging Face layers: the loss rises.
    return llm.peft.LoRA(
        target_modules=target_patterns(lora), dim=lora.rank, alpha=lora.alpha, dropout=0.0, lora_A_init_method="uniform"
    )


def _optimizer(learning_rate: float, steps: int) -> object:
    from nemo.lightning.pytorch.optim import LRSchedulerModule, PytorchOptimizerModule

    class WarmUpAndDecay(LRSchedulerModule):
        def scheduler(self, model: object, optimizers: torch.optim.Optimizer) -> dict[str, object]:
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizers, lambda step: share_of_peak(step, steps))
            return {"optimizer": optimizers, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    optimizer = partial(torch.optim.AdamW, lr=learning_rate, weight_decay=0.0)
    return PytorchOptimizerModule(optimizer_fn=optimizer, lr_scheduler=WarmUpAndDecay())


def _quiet() -> None:
    """NeMo and Lightning say much on every start that is not for the reader of a step's log: their errors stay."""
    warnings.filterwarnings("ignore")
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: record.name.startswith("flywheel") or record.levelno >= logging.ERROR)
    from nemo.utils import logging as nemo_logging

    nemo_logging.setLevel(logging.ERROR)
