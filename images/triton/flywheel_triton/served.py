"""Base and adapter in memory, asked exactly as the student was trained and measured. Must not know Triton.

Refuses an adapter that differs from its digest, or that was trained on another base model, tokenizer or template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel.data.tokens import Contract, TaskTokens
from flywheel.workspace.adapter import CONTRACT, BadAdapterError, adapter_digest
from flywheel.workspace.store import Workspace
from flywheel_student.contract import check_contract, contract_of
from flywheel_student.freeform import reply_to
from flywheel_student.model import load_student, load_tokenizer

_BATCH = 32


@dataclass(frozen=True)
class Refusal:
    """Why a question is not answered."""

    why: str


class Served:
    """One adapter over the base model, named by its digest; `bare`: the base alone, asked as that adapter would be."""

    def __init__(self, adapters: Path, digest: str, base: Path, *, bare: bool) -> None:
        folder = digest.replace(":", "-")
        found = adapter_digest(Workspace(adapters), folder)
        if found != digest:
            raise BadAdapterError(f"the adapter in {folder} has the digest {found}")
        adapter = adapters / folder
        prepared = Contract.model_validate_json((adapter / CONTRACT).read_bytes()).prepared
        check_contract(adapter, contract_of(TaskTokens(prepared, load_tokenizer(base)), base, dtype=""))
        self._student = load_student(base, None if bare else adapter)
        self._tokens = TaskTokens(prepared, self._student.tokenizer)

    def answer(self, questions: Sequence[Any]) -> list[str | Refusal]:
        """One text per question, as the model said it; a question that cannot be asked spoils no other.

        An empty question asks only whether anybody is there: it is answered at once, by nothing.
        """
        refusals = {place: why for place, one in enumerate(questions) if (why := self._unfit(one)) is not None}
        asked = [place for place, one in enumerate(questions) if one and place not in refusals]
        prompts = [self._tokens.encode_prompt(questions[place]) for place in asked]
        replies = reply_to(self._student, self._tokens, prompts, _BATCH, lambda _count: None)
        answers: list[str | Refusal] = [
            Refusal(refusals[place]) if place in refusals else "" for place in range(len(questions))
        ]
        for place, (text, _label, state) in zip(asked, replies, strict=True):
            too_long = Refusal("the question is longer than the model's context")
            answers[place] = too_long if state == "overLong" else text
        return answers

    def _unfit(self, question: Any) -> str | None:
        if not isinstance(question, Mapping):
            return "input must be a JSON object: the question"
        required = self._tokens.task.input_schema.get("required", []) if question else []
        missing = [name for name in required if name not in question]
        return f"the question lacks {', '.join(missing)}" if missing else None
