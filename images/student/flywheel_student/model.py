"""The student in memory: base model, tokenizer and, where there is one, a LoRA adapter. Nothing is fetched."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from flywheel.workspace.program import BadInputError

log = logging.getLogger(__name__)
_WORN = "worn"


@dataclass(frozen=True)
class Student:
    """A model ready to answer. `context` is how many tokens it can hold, None where it does not say."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    context: int | None
    pad_id: int

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    @property
    def linear(self) -> list[str]:
        """Paths of the linear layers."""
        return [path for path, module in self.model.named_modules() if isinstance(module, torch.nn.Linear)]

    def base(self) -> AbstractContextManager[Any]:
        """While entered, the student answers without its adapter."""
        return self.model.disable_adapter() if isinstance(self.model, PeftModel) else nullcontext()

    @contextmanager
    def wearing(self, adapter: Path) -> Iterator[Student]:
        """While entered, the student that answers with this adapter instead of its own."""
        if isinstance(self.model, PeftModel):
            own = self.model.active_adapter
            self.model.load_adapter(str(adapter), _WORN, torch_device=str(self.device))
            self.model.set_adapter(_WORN)
            try:
                yield self
            finally:
                self.model.set_adapter(own)
                self.model.delete_adapter(_WORN)
        else:
            worn = PeftModel.from_pretrained(self.model, str(adapter), torch_device=str(self.device))
            try:
                yield replace(self, model=worn.eval())
            finally:
                worn.unload()


def model_folder(model_path: str) -> Path:
    """Folder of the base model; raises BadInputError where there is none."""
    folder = Path(model_path)
    if not (folder / "config.json").is_file():
        raise BadInputError(f"student.model: {model_path} has no config.json", "ModelMissing")
    return folder


def compute_type() -> torch.dtype:
    """bfloat16 on a GPU; CPUs are slow and no smaller with it."""
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder."""
    return cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(folder, local_files_only=True))


def context_of(folder: Path) -> int | None:
    """Tokens that the model can hold; None where it does not say."""
    config = json.loads((folder / "config.json").read_bytes())
    return cast("int | None", config.get("max_position_embeddings"))


def load_student(folder: Path, adapter: Path | None = None) -> Student:
    """Base model, with an adapter over it where one is given."""
    torch.set_num_threads(available_cpus())
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(
        folder, torch_dtype=compute_type(), device_map=device, attn_implementation="sdpa", local_files_only=True
    )
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter), torch_device=device)
    # Padding is masked, so any token will do where the tokenizer names none.
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    log.info("student on %s with %d threads", device, torch.get_num_threads())
    return Student(model=model.eval(), tokenizer=tokenizer, context=context_of(folder), pad_id=cast(int, pad))


def available_cpus() -> int:
    """CPUs that this process may use: its affinity and its control group's quota, which libraries do not look at."""
    allowed = len(os.sched_getaffinity(0))
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, min(allowed, math.ceil(quota)) if quota else allowed)


def _cgroup_quota(root: Path) -> float | None:
    """CPUs granted by cgroup v2 or v1; None for no limit."""
    try:
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except FileNotFoundError:
        return None
    return None if quota in ("max", "-1") else int(quota) / int(period)
