"""Speed of the ML programs against the same work by hand, in one run on the same data.

    PYTHONPATH=operator:images/student:images/trainer $(images/ml-environment.sh | tail -1) tests/bench/ml_training.py

Prints JSON lines: training steps/s of NeMo and of a plain transformers + PEFT loop (goal 0.9), and answered items/s of
the student and of `generate` with the same batch (goal 0.95). The two sides take turns, so that a busy machine slows
both; each ratio is of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

# As the programs do, for both sides and before torch is imported.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from flywheel.api.request import Lora
from flywheel.api.task import PreparedTask, Task
from flywheel.data.tokens import Encoded, TaskTokens
from flywheel_student.batches import pad_left
from flywheel_student.freeform import reply_to
from flywheel_student.model import Student, available_cpus, load_student
from flywheel_trainer.finetune import Plan, finetune
from flywheel_trainer.order import batch_order
from flywheel_trainer.schedule import share_of_peak

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "code-review"
MODEL = EXAMPLE / "student"
RANK, ALPHA, RATE, BATCH = 16, 32, 3e-3, 16


def read_example() -> tuple[PreparedTask, list[dict[str, Any]]]:
    """The example's task and its findings."""
    spec = yaml.safe_load((EXAMPLE / "curriculum.yaml").read_text())["spec"]
    template = (ROOT / "prompts" / "task.j2").read_text()
    lines = (EXAMPLE / "datasets" / "findings.jsonl").read_text().splitlines()
    return PreparedTask(task=Task.model_validate(spec["task"]), template=template), [json.loads(line) for line in lines]


def train_with_nemo(examples: Sequence[Encoded], order: Sequence[Sequence[int]], pad_id: int) -> float:
    """Steps per second of the trainer's own path, checkpoints and curve included."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            model=MODEL,
            examples=examples,
            order=order,
            pad_id=pad_id,
            learning_rate=RATE,
            lora=Lora(rank=RANK, alpha=ALPHA),
            seed=0,
            checkpoints=Path(folder),
            resume=None,
        )
        return finetune(plan).steps_per_second


def padded(examples: Sequence[Encoded], pad_id: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention mask and labels of a batch, padded on the right, as transformers' own collators do it."""
    width = max(len(example.ids) for example in examples)
    ids = torch.tensor([example.ids + [pad_id] * (width - len(example.ids)) for example in examples])
    mask = torch.tensor([[1] * len(example.ids) + [0] * (width - len(example.ids)) for example in examples])
    counts = torch.tensor([example.weights + [0.0] * (width - len(example)) for example in examples])
    return ids, mask, ids.masked_fill(counts == 0, -100)


def train_by_hand(examples: Sequence[Encoded], order: Sequence[Sequence[int]], pad_id: int) -> float:
    """Steps per second of a plain loop over the same batches."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(MODEL, torch_dtype=torch.float32)
    model = get_peft_model(
        model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_peak(step, len(order)))
    began = 0.0
    for places in order:
        ids, mask, labels = padded([examples[place] for place in places], pad_id)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss.item()
        began = began or time.monotonic()
        last = time.monotonic()
    return (len(order) - 1) / (last - began)


def answer_by_program(student: Student, tokens: TaskTokens, prompts: list[list[int]]) -> float:
    """Items per second of the student's free-form arm."""
    began = time.monotonic()
    reply_to(student, tokens, prompts, 32, lambda _: None)
    return len(prompts) / (time.monotonic() - began)


def answer_by_hand(student: Student, tokens: TaskTokens, prompts: list[list[int]]) -> float:
    """Items per second of `generate`, called on batches of the same size."""
    began = time.monotonic()
    for start in range(0, len(prompts), 32):
        ids, mask = pad_left(prompts[start : start + 32], student.pad_id, student.device)
        with torch.inference_mode():
            output = student.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=tokens.max_new_tokens,
                do_sample=False,
                eos_token_id=tokens.stop_ids,
                pad_token_id=student.pad_id,
            )
        student.tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
    return len(prompts) / (time.monotonic() - began)


def compare(
    name: str, unit: str, goal: float, ours: Callable[[], float], by_hand: Callable[[], float], rounds: int
) -> None:
    """Take turns, and print both medians and their ratio."""
    pairs = [(by_hand(), ours()) for _ in range(rounds)]
    reference, own = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    line = {unit: round(own, 2), "byHand": round(reference, 2), "ratio": round(own / reference, 3), "goal": goal}
    print(json.dumps({"bench": name} | line), flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=60)
    arguments.add_argument("--items", type=int, default=160)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    torch.set_num_threads(available_cpus())
    prepared, findings = read_example()
    student = load_student(MODEL)
    tokens = TaskTokens(prepared, student.tokenizer)
    examples = [tokens.encode_example(item["input"], item["output"]) for item in findings[:400]]
    order = batch_order([len(one.ids) for one in examples], BATCH, options.steps, seed=0)
    prompts = [tokens.encode_prompt(item["input"]) for item in findings[: options.items]]
    pad = tokens.stop_ids[0]
    compare(
        "student",
        "itemsPerSecond",
        0.95,
        lambda: answer_by_program(student, tokens, prompts),
        lambda: answer_by_hand(student, tokens, prompts),
        options.rounds,
    )
    compare(
        "training",
        "stepsPerSecond",
        0.9,
        lambda: train_with_nemo(examples, order, pad),
        lambda: train_by_hand(examples, order, pad),
        options.rounds,
    )


if __name__ == "__main__":
    main()
