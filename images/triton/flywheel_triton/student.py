"""The model behind a name: base and adapter, asked exactly as the student was trained and measured.

Knows its adapter by one parameter of its configuration. Refuses an adapter that differs from its digest, or that was
trained on another base model, tokenizer or template.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports] - lives in the server

from flywheel.data.tokens import Contract, TaskTokens
from flywheel.workspace.adapter import CONTRACT, adapter_digest
from flywheel.workspace.store import Workspace
from flywheel_student.contract import check_contract, contract_of
from flywheel_student.freeform import reply_to
from flywheel_student.model import load_student, load_tokenizer

ADAPTERS = ".adapters"
REVISION = "adapter_revision"
_BATCH = 32


class TritonPythonModel:
    """One instance of the model; Triton calls initialize, execute and finalize."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load base and adapter. Raises where anything is not as the adapter's contract says."""
        logging.basicConfig(level=logging.INFO)
        parameters = json.loads(args["model_config"]).get("parameters", {})
        self._served_by = str(parameters.get(REVISION, {}).get("string_value", ""))
        if not self._served_by:
            raise pb_utils.TritonModelException("no adapter has been published yet: nothing serves under this name")
        adapters = Path(args["model_repository"]).parent / ADAPTERS
        folder = self._served_by.replace(":", "-")
        found = adapter_digest(Workspace(adapters), folder)
        if found != self._served_by:
            raise pb_utils.TritonModelException(f"the adapter in {ADAPTERS}/{folder} has the digest {found}")
        base, adapter = Path(os.environ["BASE_MODEL"]), adapters / folder
        prepared = Contract.model_validate_json((adapter / CONTRACT).read_bytes()).prepared
        check_contract(adapter, contract_of(TaskTokens(prepared, load_tokenizer(base)), base, dtype=""))
        self._student = load_student(base, adapter)
        self._tokens = TaskTokens(prepared, self._student.tokenizer)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests; a question that cannot be asked is that request's error alone."""
        prompts = [self._prompt(request) for request in requests]
        asked = [prompt for prompt in prompts if isinstance(prompt, list)]
        replies = iter(reply_to(self._student, self._tokens, asked, _BATCH, lambda _count: None))
        return [self._response(next(replies)) if isinstance(prompt, list) else _refusal(prompt) for prompt in prompts]

    def finalize(self) -> None:
        """Nothing to do: the process ends."""

    def _prompt(self, request: Any) -> list[int] | str:
        """Token ids of a request's question, or why it cannot be asked."""
        text = pb_utils.get_input_tensor_by_name(request, "input").as_numpy().reshape(-1)[0]
        try:
            question = json.loads(text)
        except ValueError:
            return "input must be a JSON object: the question"
        if not isinstance(question, dict):
            return "input must be a JSON object: the question"
        required = self._tokens.task.input_schema.get("required", [])
        missing = [name for name in required if name not in question]
        return f"the question lacks {', '.join(missing)}" if missing else self._tokens.encode_prompt(question)

    def _response(self, reply: tuple[str, str | None, str]) -> Any:
        text, _label, state = reply
        if state == "overLong":
            return _refusal("the question is longer than the model's context")
        return pb_utils.InferenceResponse(
            output_tensors=[_tensor("output", text), _tensor("served_by", self._served_by)]
        )


def _tensor(name: str, text: str) -> Any:
    return pb_utils.Tensor(name, np.array([text.encode()], dtype=np.object_))


def _refusal(why: str) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(why))
