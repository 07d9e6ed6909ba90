"""Builds and pretrains the small student model on Python text, on a CPU, and writes student/.

    OMP_NUM_THREADS=2 python examples/code-review/make_student.py

First plain files, then short lessons in the prompt's layout (lessons.py), as a real student was instructed before.
Reads the packages of the role "teacher" only: none of them is a group of the Curriculum's source. It never sees
a finding or a severity. Needs torch, transformers and tokenizers as in images/torch.
"""

import argparse
import hashlib
import math
import time
from collections.abc import Iterator

import torch
from corpus import HERE, files, packages, read
from lessons import lessons
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEED = 11
VOCABULARY = 4096
HIDDEN, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 192, 4, 6, 3, 512
CONTEXT = 512
LENGTH, BATCH, STEPS = 256, 8, 1500
LESSONS, LESSON_STEPS, SWAPPED_STEPS = 16, 450, 240
TEXT_RATE, LESSON_RATE, SWAPPED_RATE, WARM_UP = 3e-3, 2e-3, 1.5e-3, 60
IGNORED = -100
CORPUS_BYTES = 24_000_000
OUTPUT = HERE / "student"
Batch = tuple[Tensor, list[Tensor]]  # ids, and the targets of each loss


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


def text_batches(words: PreTrainedTokenizerFast, corpus: list[str], steps: int) -> Iterator[Batch]:
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
        ids = torch.stack([stream[start : start + LENGTH] for start in starts.tolist()])
        yield ids, [ids]


def lesson_batches(words: PreTrainedTokenizerFast, swapped: bool, steps: int) -> Iterator[Batch]:
    """Lessons with and without their prompts' tokens counted."""
    rows = [(words(lesson.prompt)["input_ids"], words(lesson.answer)["input_ids"]) for lesson in lessons(swapped)]
    print(f"{len(rows)} lessons", flush=True)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(steps):
        chosen = [rows[index] for index in torch.randint(0, len(rows), (LESSONS,), generator=generator).tolist()]
        longest = max(len(prompt) + len(answer) + 1 for prompt, answer in chosen)
        ids = torch.full((LESSONS, longest), words.pad_token_id)
        everything, answers = torch.full_like(ids, IGNORED), torch.full_like(ids, IGNORED)
        for row, (prompt, answer) in enumerate(chosen):
            line = torch.tensor([*prompt, *answer, words.eos_token_id])
            ids[row, : len(line)] = everything[row, : len(line)] = line
            answers[row, len(prompt) : len(line)] = line[len(prompt) :]
        yield ids, [everything, answers]


def train(model: LlamaForCausalLM, steps: int, rate: float, batches: Iterator[Batch]) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.05)
    warm = max(1, min(WARM_UP, steps // 10))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / warm) * (0.05 + 0.475 * (1 + math.cos(math.pi * step / steps)))
    )
    begun = time.monotonic()
    for step, (ids, targets) in enumerate(batches):
        logits = model(input_ids=ids).logits[:, :-1]
        each = cross_entropy(logits.reshape(-1, VOCABULARY), ids[:, 1:].reshape(-1), reduction="none")
        losses = [each[counted].mean() for counted in ((target[:, 1:] != IGNORED).reshape(-1) for target in targets)]
        torch.stack(losses).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            shown = ", ".join(f"{loss.item():.3f}" for loss in losses)
            print(f"step {step} loss {shown} after {time.monotonic() - begun:.0f} s", flush=True)


def first_stage() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Plain files."""
    corpus = texts()
    words = tokenizer(corpus)
    model = untrained(words)
    print(f"{model.num_parameters():,} parameters", flush=True)
    train(model, STEPS, TEXT_RATE, text_batches(words, corpus, STEPS))
    return model, words


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--output", default=str(OUTPUT))
    options.add_argument("--done", type=int, default=0, choices=(0, 1, 2), help="stages that --resume has behind it")
    options.add_argument("--resume", help="folder of a student after the first stages")
    options.add_argument("--swapped", action="store_true", help="a third stage, not in the committed weights")
    chosen = options.parse_args()
    torch.manual_seed(SEED)
    if chosen.done:
        words = PreTrainedTokenizerFast.from_pretrained(chosen.resume)
        model = LlamaForCausalLM.from_pretrained(chosen.resume, torch_dtype=torch.float32)
    else:
        model, words = first_stage()
    if chosen.done < 2:
        train(model, LESSON_STEPS, LESSON_RATE, lesson_batches(words, False, LESSON_STEPS))
    if chosen.swapped:
        train(model, SWAPPED_STEPS, SWAPPED_RATE, lesson_batches(words, True, SWAPPED_STEPS))
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
