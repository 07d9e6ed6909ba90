"""The model behind a name, as Triton wants it. Knows its adapter by one parameter of its configuration."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports] - lives in the server

ADAPTERS = ".adapters"
REVISION, CONTRACT_OF = "adapter_revision", "adapter_contract"


class TritonPythonModel:
    """One instance of the model; Triton calls initialize and execute."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load base and adapter. Raises where anything is not as the adapter's contract says."""
        logging.basicConfig(level=logging.INFO)
        parameters = json.loads(args["model_config"]).get("parameters", {})
        self._revision = str(parameters.get(REVISION, {}).get("string_value", ""))
        if not self._revision:
            raise pb_utils.TritonModelException("no adapter has been published yet: nothing serves under this name")
        # Torch takes seconds to import: a server without an adapter starts without it.
        from flywheel_triton.served import Served

        adapters = Path(args["model_repository"]).parent / ADAPTERS
        # Where it is named, the bare student answers, asked as that adapter's contract says.
        contract_of = str(parameters.get(CONTRACT_OF, {}).get("string_value", ""))
        base = Path(os.environ["BASE_MODEL"])
        self._served = Served(adapters, contract_of or self._revision, base, bare=bool(contract_of))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests, all in one pass."""
        asked = [_questions(request) for request in requests]
        answers = iter(self._served.answer([question for questions in asked for question in questions]))
        return [self._response([next(answers) for _ in questions]) for questions in asked]

    def _response(self, answers: list[Any]) -> Any:
        """A request is refused as a whole."""
        refused = next((answer for answer in answers if not isinstance(answer, str)), None)
        if refused is not None:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(refused.why))
        revisions = [self._revision] * len(answers)
        return pb_utils.InferenceResponse(output_tensors=[_tensor("output", answers), _tensor("served_by", revisions)])


def _questions(request: Any) -> list[Any]:
    """The questions of a request, most often one; None for text that is no JSON, which is then refused."""
    texts = pb_utils.get_input_tensor_by_name(request, "input").as_numpy().reshape(-1)
    return [_question(text) for text in texts]


def _question(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _tensor(name: str, texts: list[str]) -> Any:
    return pb_utils.Tensor(name, np.array([[text.encode()] for text in texts], dtype=np.object_))
