"""How well the student learns the task: LoRA with transformers and PEFT, scored on the validation pool.

    python examples/code-review/try_student.py --examples 250 --seed 0
    python examples/code-review/try_student.py --examples 250 --seed 0 --shuffle-labels

A check of data and student without operator, NeMo or cluster. Needs images/torch's environment.
"""

import argparse
import json
import random
import time
from collections import Counter
from typing import Any

import torch
from make_data import OUTPUTS
from make_student import OUTPUT as STUDENT
from peft import LoraConfig, get_peft_model
from pools import pool_of
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from wordings import LABELS

PROMPT = "### Code:\n{code}\n### Review:\n{review}\n### Answer:\n"
BATCH = 16
Item = dict[str, Any]


def rendered(item: Item) -> str:
    return PROMPT.format(**item["input"])


def answer(label: str) -> str:
    return json.dumps({"issue_type": label}, separators=(",", ":"))


def load(role: str) -> list[Item]:
    return [json.loads(line) for line in OUTPUTS[role].read_text(encoding="utf-8").splitlines()]


def training_set(count: int, replay: float, choose: random.Random) -> list[Item]:
    """Balanced by label: most from the teacher, the share "replay" from the curriculum pool."""
    pools = {"teacher": load("teacher"), "source": [i for i in load("source") if pool_of(i["package"]) == "curriculum"]}
    chosen: list[Item] = []
    for label in LABELS:
        replayed = round(count * replay / len(LABELS))
        for role, wanted in (("source", replayed), ("teacher", round(count / len(LABELS)) - replayed)):
            chosen += choose.sample([i for i in pools[role] if i["output"]["issue_type"] == label], wanted)
    return chosen


class Student:
    def __init__(self, folder: str) -> None:
        self.words = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)

    def train(self, items: list[Item], steps: int, rate: float, choose: random.Random) -> None:
        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        self.model = get_peft_model(self.model, lora)
        weights = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
        rows = [self._row(item) for item in items]
        order: list[int] = []
        begun = time.monotonic()
        for step in range(steps):
            while len(order) < BATCH:
                order += choose.sample(range(len(rows)), len(rows))
            batch, order = order[:BATCH], order[BATCH:]
            optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 20) * (1 - step / steps)
            loss = self.model(**self._padded([rows[index] for index in batch])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if step % 50 == 49:
                print(f"  step {step + 1} loss {loss.item():.3f} after {time.monotonic() - begun:.0f} s", flush=True)

    def _row(self, item: Item) -> tuple[list[int], int]:
        prompt = self.words(rendered(item))["input_ids"]
        reply = self.words(answer(item["output"]["issue_type"]))["input_ids"]
        return [*prompt, *reply, self.words.eos_token_id], len(prompt)

    def _padded(self, rows: list[tuple[list[int], int]]) -> dict[str, Tensor]:
        longest = max(len(ids) for ids, _ in rows)
        pad = self.words.pad_token_id
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row, _ in rows])
        labels = [[-100] * start + row[start:] + [-100] * (longest - len(row)) for row, start in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row, _ in rows]
        return {"input_ids": ids, "labels": torch.tensor(labels), "attention_mask": torch.tensor(mask)}

    @torch.no_grad()
    def rate(self, items: list[Item]) -> list[str]:
        """The label whose answer is likeliest."""
        self.model.eval()
        replies = [[*self.words(answer(label))["input_ids"], self.words.eos_token_id] for label in LABELS]
        longest = max(map(len, replies))
        ids = torch.tensor([reply + [-100] * (longest - len(reply)) for reply in replies])
        rated: list[str] = []
        for item in items:
            prompt = torch.tensor([self.words(rendered(item))["input_ids"]])
            read = self.model(input_ids=prompt, use_cache=True)  # the prompt once for all labels
            read.past_key_values.batch_repeat_interleave(len(LABELS))
            rest = self.model(input_ids=ids[:, :-1].clamp(min=0), past_key_values=read.past_key_values).logits
            logits = torch.cat([read.logits[:, -1:].expand(len(LABELS), -1, -1), rest], 1).log_softmax(-1)
            scores = logits.gather(-1, ids.clamp(min=0)[..., None])[..., 0] * (ids >= 0)
            rated.append(LABELS[int(scores.sum(-1).argmax())])
        return rated


def report(name: str, items: list[Item], rated: list[str]) -> None:
    truth = [item["output"]["issue_type"] for item in items]
    pairs = Counter(zip(truth, rated, strict=True))
    totals = Counter(truth)
    recalls = {label: pairs[label, label] / totals[label] for label in LABELS if totals[label]}
    print(
        f"{name}: balanced accuracy {sum(recalls.values()) / len(recalls):.3f}, n {len(items)}, recall "
        + ", ".join(f"{label} {value:.2f}" for label, value in recalls.items()),
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--examples", type=int, default=250, help="0 scores the untrained student")
    options.add_argument("--replay", type=float, default=0.25)
    options.add_argument("--steps", type=int, default=250)
    options.add_argument("--rate", type=float, default=3e-3)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--shuffle-labels", action="store_true")
    options.add_argument("--student", default=str(STUDENT))
    options.add_argument("--limit", type=int, default=10_000, help="items of the validation pool")
    chosen = options.parse_args()
    torch.manual_seed(chosen.seed)
    choose = random.Random(chosen.seed)  # noqa: S311 - a sample, no secret
    held_out = [item for item in load("source") if pool_of(item["package"]) == "validation"][: chosen.limit]
    student = Student(chosen.student)
    if chosen.examples:
        items = training_set(chosen.examples, chosen.replay, choose)
        if chosen.shuffle_labels:
            labels = [item["output"] for item in items]
            choose.shuffle(labels)
            items = [{**item, "output": label} for item, label in zip(items, labels, strict=True)]
        student.train(items, chosen.steps, chosen.rate, choose)
    rated = student.rate(held_out)
    report("validation", held_out, rated)
    apart = [index for index, item in enumerate(held_out) if item["heldOutRule"]]
    if apart:
        report("  of these, rules seen nowhere else", [held_out[i] for i in apart], [rated[i] for i in apart])


if __name__ == "__main__":
    main()
