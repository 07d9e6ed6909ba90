"""Builds and pretrains the small student model on plain Python text, on a CPU, and writes student/.

    OMP_NUM_THREADS=2 python examples/code-review/make_student.py

Reads the packages of the role "teacher" only: none of them is a group of the Curriculum's source. It never sees
a review, a finding or a label. Needs torch, transformers and tokenizers as in images/torch.
"""

import argparse
import hashlib
import math
import time
from collections.abc import Iterator

import torch
from corpus import HERE, files, packages, read
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEED = 11
VOCABULARY = 4096
HIDDEN, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 192, 4, 6, 3, 512
CONTEXT = 512
LENGTH, BATCH, STEPS = 256, 8, 1500
LEARNING_RATE, WARM_UP = 3e-3, 60
CORPUS_BYTES = 24_000_000
OUTPUT = HERE / "student"


def texts() -> list[str]:
    """Whole files in an order that mixes the packages."""
    entries = [(package, path) for package in packages() if package.role == "teacher" for path in files(package)]
    entries.sort(key=lambda entry: hashlib.sha256(f"{entry[0].name}\0{entry[1].as_posix()}".encode()).digest())
    chosen: list[str] = []
    size = 0
    for package, path in entries:
        text = read(package, path)
        if text and len(text) < 60_000 and size < CORPUS_BYTES:
            chosen.append(text)
            size += len(text)
    return chosen


def tokenizer(corpus: list[str]) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(corpus, trainer)
    names = dict(zip(("pad_token", "bos_token", "eos_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=bpe, model_max_length=CONTEXT, **names)


def untrained(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return LlamaForCausalLM(config)


def batches(words: PreTrainedTokenizerFast, corpus: list[str], steps: int) -> Iterator[Tensor]:
    """Random windows over the files, which are joined by the end token."""
    ids: list[int] = []
    for start in range(0, len(corpus), 500):
        for encoding in words(corpus[start : start + 500])["input_ids"]:
            ids += [*encoding, words.eos_token_id]
    stream = torch.tensor(ids)
    print(
        f"{len(corpus)} files, {len(ids):,} tokens, {sum(map(len, corpus)) / len(ids):.2f} characters per token",
        flush=True,
    )
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(steps):
        starts = torch.randint(0, len(stream) - LENGTH, (BATCH,), generator=generator)
        yield torch.stack([stream[start : start + LENGTH] for start in starts.tolist()])


def pretrain(model: LlamaForCausalLM, words: PreTrainedTokenizerFast, corpus: list[str], steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05)
    warm = max(1, min(WARM_UP, steps // 10))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / warm) * (0.05 + 0.475 * (1 + math.cos(math.pi * step / steps)))
    )
    begun = time.monotonic()
    for step, batch in enumerate(batches(words, corpus, steps)):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step} loss {loss.item():.3f} after {time.monotonic() - begun:.0f} s", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--steps", type=int, default=STEPS)
    options.add_argument("--output", default=str(OUTPUT))
    chosen = options.parse_args()
    torch.manual_seed(SEED)
    corpus = texts()
    words = tokenizer(corpus)
    model = untrained(words)
    print(f"{model.num_parameters():,} parameters", flush=True)
    pretrain(model, words, corpus, chosen.steps)
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(chosen.output)
    words.save_pretrained(chosen.output)


if __name__ == "__main__":
    main()
