"""What is proven of base model and data before a teacher is paid; with the example's own layers and tokenizer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "student"))

from flywheel.api.item import Item
from flywheel.api.request import Lora
from flywheel.api.task import PreparedTask, Task
from flywheel.data.tokens import TaskTokens
from flywheel.workspace.program import BadInputError, TryLaterError
from flywheel_student.preflight import check_lengths, check_targets, target_patterns

ROOT = Path(__file__).parents[3]
STUDENT = ROOT / "examples/code-review/student"
LLAMA = [
    f"model.layers.{layer}.{name}"
    for layer in range(2)
    for name in ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
] + ["lm_head"]
GPT2 = ["transformer.h.0.attn.c_attn", "transformer.h.0.mlp.c_fc", "lm_head"]


@pytest.mark.parametrize(
    ("targets", "linear"),
    [
        (["all-linear"], LLAMA),
        (["q_proj", "down_proj"], LLAMA),
        (["*.layers.0.*.q_proj"], LLAMA),
        (["c_attn"], GPT2),
    ],
)
def test_targets_that_are_there(targets: list[str], linear: list[str]) -> None:
    check_targets(Lora(target_modules=targets), linear)


@pytest.mark.parametrize(
    ("targets", "linear", "absent"),
    [
        (["q_proj", "c_attn"], LLAMA, "c_attn"),
        (["all-linear"], GPT2, "all-linear"),
        (["self_attn.q_proj"], LLAMA, "self_attn.q_proj"),
        (["*.layers.9.*.q_proj"], LLAMA, "*.layers.9.*.q_proj"),
        (["mlp"], LLAMA, "mlp"),
        (["q.proj"], LLAMA, "q.proj"),
    ],
)
def test_targets_that_are_not_there_are_named_with_those_that_are(
    targets: list[str], linear: list[str], absent: str
) -> None:
    with pytest.raises(TryLaterError) as raised:
        check_targets(Lora(target_modules=targets), linear)
    names = ", ".join(sorted({path.rpartition(".")[2] for path in linear}))
    assert raised.value.reason == "LoraTargets"
    words = f"the base model has no linear layer {absent}; it has {names}"
    assert str(raised.value) == f"spec.training.lora.targetModules: {words}"


def test_the_example_trains_layers_that_its_student_has() -> None:
    with safe_open(STUDENT / "model.safetensors", framework="numpy") as weights:
        linear = [name.removesuffix(".weight") for name in weights.keys() if "_proj" in name]  # noqa: SIM118
    lora = yaml.safe_load((ROOT / "examples/code-review/flywheelrun.yaml").read_text())["spec"]["training"]["lora"]
    check_targets(Lora.model_validate(lora), linear)
    assert target_patterns(Lora.model_validate(lora)) == ["*_proj"]


class Fast:
    """The student's tokenizer, as much of it as is used."""

    bos_token_id, eos_token_id, chat_template = None, 2, None

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(str(STUDENT / "tokenizer.json"))

    def encode(self, text: str, **_: Any) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


def test_nine_items_of_ten_must_fit_with_their_answer() -> None:
    spec = yaml.safe_load((ROOT / "examples/code-review/curriculum.yaml").read_text())["spec"]
    prepared = PreparedTask(
        task=Task.model_validate(spec["task"]), template=(ROOT / "prompts/task.j2").read_text(encoding="utf-8")
    )
    tokens: Any = TaskTokens(prepared, Fast())  # type: ignore[arg-type]
    with (ROOT / "examples/code-review/datasets/findings.jsonl").open(encoding="utf-8") as lines:
        items = [
            Item(id=f"i{place}", input=line["input"], output=line["output"], group="g", source="s", truth="Rule")
            for place, line in zip(range(60), map(json.loads, lines), strict=False)
        ]
    lengths = sorted(len(tokens.encode_prompt(item.input)) + tokens.max_new_tokens for item in items)
    check_lengths(tokens, items, lengths[-1])
    check_lengths(tokens, items, None)
    check_lengths(tokens, items, lengths[-7])  # at most a tenth do not fit
    short = lengths[-7] - 1
    over = sum(length > short for length in lengths)
    with pytest.raises(BadInputError, match=f"{over} of 60 items .* {short} tokens .*needs {lengths[-1]}") as raised:
        check_lengths(tokens, items, short)
    assert raised.value.reason == "ItemsTooLong"
