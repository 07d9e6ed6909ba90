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
        return [self._response(answer) for answer in self._served.answer([_question(request) for request in requests])]

    def _response(self, answer: Any) -> Any:
        if not isinstance(answer, str):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(answer.why))
        return pb_utils.InferenceResponse(
            output_tensors=[_tensor("output", answer), _tensor("served_by", self._revision)]
        )


def _question(request: Any) -> Any:
    """The question of a request; None for text that is no JSON, which is then refused."""
    text = pb_utils.get_input_tensor_by_name(request, "input").as_numpy().reshape(-1)[0]
    try:
        return json.loads(text)
    except ValueError:
        return None


def _tensor(name: str, text: str) -> Any:
    return pb_utils.Tensor(name, np.array([text.encode()], dtype=np.object_))
