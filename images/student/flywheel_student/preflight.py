"""What is proven of base model and data before a teacher is paid: LoRA targets are there, the items fit.

Must not know where the model came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from flywheel.api.conditions import Reason
from flywheel.api.item import Item
from flywheel.api.request import Lora
from flywheel.data.tokens import TaskTokens
from flywheel.workspace.program import BadInputError, TryLaterError, log

# Greatest share of items that do not fit: with more, a run would measure the length of its items.
TOO_LONG = 0.1

# `all-linear`: the seven projections of Llama-like models, which every server can load.
_ALL_LINEAR = "*_proj"


def target_patterns(lora: Lora) -> list[str]:
    """Target modules as the trainer takes them: a name, or a pattern of whole paths."""
    return [_ALL_LINEAR if name == "all-linear" else name for name in lora.target_modules]


def check_targets(lora: Lora, linear: Iterable[str]) -> None:
    """`linear` are the paths of the model's linear layers. Raises TryLaterError: the run's spec can still be mended."""
    paths = sorted(linear)
    absent = [
        said
        for said, pattern in zip(lora.target_modules, target_patterns(lora), strict=True)
        if not any(_matches(pattern, path) for path in paths)
    ]
    if absent:
        there = sorted({path.rpartition(".")[2] for path in paths})
        words = f"the base model has no linear layer {', '.join(absent)}; it has {', '.join(there)}"
        raise TryLaterError(f"spec.training.lora.targetModules: {words}", Reason.LORA_TARGETS)


def check_lengths(tokens: TaskTokens, items: Sequence[Item], context: int | None) -> None:
    """Items must fit with an answer; few that do not are wrong answers later, and counted as such.

    Raises BadInputError: neither model nor data of a run can be changed.
    """
    lengths = [len(tokens.encode_prompt(item.input)) + tokens.max_new_tokens for item in items]
    over = [length for length in lengths if context is not None and length > context]
    if not over:
        return
    words = (
        f"{len(over)} of {len(items)} items do not fit into the base model's {context} tokens with their answer"
        f" (the longest needs {max(over)})"
    )
    if len(over) > TOO_LONG * len(items):
        words = f"{words}: leave them out of the Curriculum's sources, or choose another model, in a new run"
        raise BadInputError(words, Reason.ITEMS_TOO_LONG)
    log.warning("%s: they count as answered wrongly", words)


def _matches(pattern: str, path: str) -> bool:
    """As NeMo matches: the layer's own name, or the whole path with stars for anything."""
    if path.rpartition(".")[2] == pattern:
        return True
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), path) is not None
