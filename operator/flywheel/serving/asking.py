"""Asks a pod the recorded probes: in each server's own way, with the tokens that were measured where it takes them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from flywheel.api.item import Probe
from flywheel.data.tokens import Contract, parse_answer, prompt_text
from flywheel.serving.openai_server import OpenAiPod
from flywheel.serving.triton import TritonPod

Server = Literal["triton", "vllm", "nim"]


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

    def ask(self, model: str, probe: Probe) -> Said:
        reply = self.pod.ask(model, probe.input)
        return Said(parse_answer(reply.text, self.contract.prepared.task), reply.served_by)


@dataclass(frozen=True)
class _Vllm:
    pod: OpenAiPod
    contract: Contract

    def ask(self, model: str, probe: Probe) -> Said:
        if probe.prompt is None:
            raise NoPromptError
        # Every setting is said here: the model's own generation_config must not decide.
        settings = {"temperature": 0, "repetition_penalty": 1.0, "stop_token_ids": self.contract.stop_ids}
        limit = {"max_tokens": self.contract.max_new_tokens}
        text = self.pod.complete({"model": model, "prompt": probe.prompt, **settings, **limit})
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
def asking(server: Server, address: str, contract: Contract) -> Generator[Asker]:
    """A pod, while it is asked."""
    if server == "triton":
        with TritonPod(address) as pod:
            yield _Triton(pod, contract)
    else:
        with OpenAiPod(address) as pod:
            yield (_Vllm if server == "vllm" else _Nim)(pod, contract)
