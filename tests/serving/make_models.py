"""Makes what the server serves, in the ML environment: a tiny base model, and adapters that each learned one label.

Usage: make_models.py FOLDER LABEL...   Prints {label: {"digest", "folder"}} as its last line.
FOLDER/prompts.json: the token ids of bed.QUESTIONS.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from flywheel.api.task import PreparedTask
from flywheel.data.tokens import TaskTokens
from flywheel.workspace.adapter import adapter_digest
from flywheel.workspace.store import Workspace
from flywheel_student.contract import contract_of
from flywheel_student.model import load_tokenizer

LABELS = ["critical", "major", "minor", "trivial"]
TASK = PreparedTask.model_validate(
    {
        "task": {
            "instructions": "Rate the severity.",
            "inputSchema": {
                "type": "object",
                "properties": {"code": {"type": "string"}, "review": {"type": "string"}},
                "required": ["code", "review"],
            },
            "outputSchema": {
                "type": "object",
                "properties": {"issue_type": {"enum": LABELS}},
                "required": ["issue_type"],
            },
            "label": {"path": "issue_type", "order": LABELS},
        },
        "template": "{% for field in fields %}\n### {{ field.title }}:\n{{ field.value }}\n{% endfor %}\n### Answer:\n",
    }
)
STEPS = 150


def make_base(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    text = [json.dumps({"issue_type": label}, separators=(",", ":")) for label in LABELS] * 20
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<s>", "</s>"]
    tokenizer.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.15,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(4)  # else no adapter could make a random base sure of anything
    model.save_pretrained(folder)
    fast.save_pretrained(folder)


def make_adapter(base: Path, folder: Path, label: str) -> str:
    tokens = TaskTokens(TASK, load_tokenizer(base))
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=16, lora_alpha=32, target_modules=layers, task_type="CAUSAL_LM"),
    )
    questions = [{"code": f"x = {place}", "review": f"finding {place}"} for place in range(8)]
    examples = [tokens.encode_example(question, {"issue_type": label}) for question in questions]
    width = max(len(example.ids) for example in examples)
    ids = torch.tensor([example.ids + [0] * (width - len(example.ids)) for example in examples])
    labels = torch.tensor(
        [
            [token if learned else -100 for token, learned in zip(example.ids, example.weights, strict=True)]
            + [-100] * (width - len(example.ids))
            for example in examples
        ]
    )
    attention = torch.tensor([[1] * len(e.ids) + [0] * (width - len(e.ids)) for e in examples])
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    loss = torch.tensor(0.0)
    for _ in range(STEPS):
        loss = model(input_ids=ids, attention_mask=attention, labels=labels).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    print(f"{label}: loss {loss.item():.4f}", file=sys.stderr)
    model.save_pretrained(folder)
    settings = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": "tiny"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    contract = contract_of(tokens, base, dtype="float32")
    (folder / "contract.json").write_text(json.dumps(contract.to_json_object()))
    return adapter_digest(Workspace(folder.parent), folder.name)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    home = Path(sys.argv[1])
    make_base(home / "base")
    make_base(home / "otherbase")
    made = {}
    for label in sys.argv[2:]:
        folder = home / "adapters" / label
        made[label] = {"digest": make_adapter(home / "base", folder, label), "folder": str(folder)}
    tokens = TaskTokens(TASK, load_tokenizer(home / "base"))
    questions = [{"code": f"x = {place}", "review": f"finding {place}"} for place in range(20)]
    (home / "prompts.json").write_text(json.dumps([tokens.encode_prompt(question) for question in questions]))
    print(json.dumps(made))


if __name__ == "__main__":
    main()
