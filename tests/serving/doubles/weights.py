"""A tiny base model and PEFT adapters with real weights, for the doubles. Runs in the ML environment."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


class Weights:
    """The base, and adapters over it by name. Not for two threads at once."""

    def __init__(self, base: Path) -> None:
        torch.set_num_threads(1)
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        self._base = AutoModelForCausalLM.from_pretrained(base).eval()
        self._model: PeftModel | None = None

    def load(self, name: str, folder: Path) -> None:
        if self._model is None:
            self._model = PeftModel.from_pretrained(self._base, str(folder), adapter_name=name).eval()
        else:
            self._model.load_adapter(str(folder), adapter_name=name)

    def drop(self, name: str) -> None:
        if self._model is None:
            return
        if len(self._model.peft_config) == 1:
            self._base, self._model = self._model.unload(), None
        else:
            self._model.delete_adapter(name)

    @torch.inference_mode()
    def complete(self, name: str | None, request: dict[str, Any]) -> tuple[str, str]:
        """Text and finish_reason; name None for the base."""
        prompt = request["prompt"]
        ids = self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        stops = [self.tokenizer.eos_token_id, *request.get("stop_token_ids", [])]
        model: Any = self._model or self._base
        if name is not None:
            model.set_adapter(name)
        bare = model.disable_adapter() if name is None and self._model is not None else nullcontext()
        with bare:
            output = model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                max_new_tokens=request.get("max_tokens", 16),
                do_sample=False,
                eos_token_id=stops,
                pad_token_id=0,
            )
        new = output[0, len(ids) :].tolist()
        return self.tokenizer.decode(new, skip_special_tokens=True), "stop" if new[-1] in stops else "length"
