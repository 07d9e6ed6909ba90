"""Asks a pod the recorded probes: in each server's own way, with the tokens that were measured where it takes them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from flywheel.api.conditions import Reason
from flywheel.api.item import Probe
from flywheel.data.tokens import Contract, parse_answer, prompt_text
from flywheel.serving.access import OPEN, Access, Server
from flywheel.serving.openai_server import OpenAiPod
from flywheel.serving.triton import TritonPod
from flywheel.workspace.program import BadInputError


@dataclass(frozen=True)
class Said:
    """A parsed label, and which adapter gave it where the server says so."""

    label: str | None
    served_by: str | None = None


class Asker(Protocol):
    """One pod that may be asked."""

    def ask(self, model: str, probe: Probe) -> Said:
        """Raises ServingError."""
        ...


class NoPromptError(Exception):
    """A probe without the tokens that it was measured with."""


@dataclass(frozen=True)
class _Triton:
    pod: TritonPod
    contract: Contract
    lora_name: Callable[[str], str | None]

    def ask(self, model: str, probe: Probe) -> Said:
        if (lora_name := self.lora_name(model)) is not None:
            return self._ask_vllm(model, lora_name, probe)
        reply = self.pod.ask(model, probe.input)
        return Said(parse_answer(reply.text, self.contract.prepared.task), reply.served_by)

    def _ask_vllm(self, model: str, lora_name: str, probe: Probe) -> Said:
        """The vLLM backend does not say which adapter answers: what its loaded configuration names is taken for it."""
        if self.contract.chat_template is not None:
            words = (
                "it was trained with a chat template, and Triton's vLLM backend renders none: serve it by target.vllm"
            )
            raise BadInputError(words, Reason.CONTRACT_DIFFERS)
        sampling = _sampling(self.contract) | {"lora_name": lora_name}
        text = self.pod.ask_vllm(model, prompt_text(self.contract.prepared, probe.input), sampling)
        return Said(parse_answer(text or "", self.contract.prepared.task), self.pod.revision(model))


def _sampling(contract: Contract) -> dict[str, Any]:
    """What vLLM is told, all of it: the model's own generation_config must not decide."""
    settings = {"temperature": 0, "repetition_penalty": 1.0, "stop_token_ids": contract.stop_ids}
    return settings | {"max_tokens": contract.max_new_tokens}


@dataclass(frozen=True)
class _Vllm:
    pod: OpenAiPod
    contract: Contract

    def ask(self, model: str, probe: Probe) -> Said:
        if probe.prompt is None:
            raise NoPromptError
        text = self.pod.complete({"model": model, "prompt": probe.prompt, **_sampling(self.contract)})
        return Said(parse_answer(text or "", self.contract.prepared.task))


@dataclass(frozen=True)
class _Nim:
    """Not every NIM takes token ids, nor settings beyond OpenAI's: it is asked by text, as its clients do."""

    pod: OpenAiPod
    contract: Contract

    def ask(self, model: str, probe: Probe) -> Said:
        question = prompt_text(self.contract.prepared, probe.input)
        settings: dict[str, Any] = {"model": model, "temperature": 0, "max_tokens": self.contract.max_new_tokens}
        if self.contract.chat_template is None:
            text = self.pod.complete({"prompt": question, **settings})
        else:
            text = self.pod.chat({"messages": [{"role": "user", "content": question}], **settings})
        return Said(parse_answer(text or "", self.contract.prepared.task))


@contextmanager
def asking(server: Server, address: str, contract: Contract, access: Access = OPEN) -> Generator[Asker]:
    """A pod, while it is asked."""
    if server == "triton":
        with TritonPod(address, access=access) as pod:
            yield _Triton(pod, contract, cache(pod.lora_name))  # a call less for each question
    else:
        with OpenAiPod(address, access=access) as pod:
            yield (_Vllm if server == "vllm" else _Nim)(pod, contract)
