"""A DOUBLE of Triton's vLLM backend, not vLLM: real weights, and what its source says of model.json, multi_lora.json.

Installed as the real one is: backends/vllm/model.py of a real tritonserver. Both files are read once, when the engine
starts; the adapter's path is read when it is first asked; answers come by a stream (decoupled), the prompt before them
unless it is excluded; refusals have its texts. Of sampling only greedy, max_tokens and stop_token_ids are here.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.append(str(Path(os.environ["VLLM_DOUBLE"])))

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        have = config.as_dict()
        names = {entry["name"] for entry in (*have["input"], *have["output"])}
        if "text_input" not in names:
            config.add_input({"name": "text_input", "data_type": "TYPE_STRING", "dims": [1]})
        more = {"sampling_parameters": "STRING"}
        more |= dict.fromkeys(("stream", "exclude_input_in_output", "return_finish_reason"), "BOOL")
        for name, kind in more.items():
            if name not in names:
                config.add_input({"name": name, "data_type": f"TYPE_{kind}", "dims": [1], "optional": True})
        for name in ("text_output", "finish_reason"):
            if name not in names:
                config.add_output({"name": name, "data_type": "TYPE_STRING", "dims": [-1]})
        config.set_model_transaction_policy({"decoupled": True})
        config.set_max_batch_size(0)
        return config

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        assert pb_utils.using_decoupled_model_transaction_policy(config)
        folder = Path(pb_utils.get_model_dir())
        engine = json.loads((folder / "model.json").read_text())
        self._enabled = str(engine.get("enable_lora", "")).lower() == "true"
        self._loras: dict[str, str] = {}
        if self._enabled:
            try:
                self._loras = json.loads((folder / "multi_lora.json").read_text())
            except FileNotFoundError as error:
                raise FileNotFoundError(f"Triton backend cannot find {folder}/multi_lora.json.") from error
        from weights import Weights

        self._weights = Weights(Path(engine["model"]))
        self._read: set[str] = set()

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                response = self._response(request)
            except Exception as error:  # noqa: BLE001 - as the backend does
                response = _refusal(f"Error generating stream: {error}")
            sender.send(response, flags=FINAL)

    def _response(self, request: Any) -> Any:
        asked = json.loads(_text(request, "sampling_parameters") or request.parameters())
        name = asked.pop("lora_name", None)
        if name is not None and not self._enabled:
            return _refusal("LoRA feature is not enabled.")
        if name is not None and name not in self._loras:
            return _refusal(f"LoRA {name} is not supported, we currently support {list(self._loras)}")
        prompt = _text(request, "text_input") or ""
        if name is not None and name not in self._read:
            self._weights.load(name, Path(self._loras[name]))
            self._read.add(name)
        text, reason = self._weights.complete(name, {"prompt": prompt, **asked})
        said = text if _flag(request, "exclude_input_in_output") else prompt + text
        tensors = [_tensor("text_output", said)]
        if _flag(request, "return_finish_reason"):
            tensors.append(_tensor("finish_reason", reason))
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _refusal(words: str) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[_tensor("text_output", words)], error=pb_utils.TritonError(words))


def _text(request: Any, name: str) -> str | None:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()[0].decode()


def _flag(request: Any, name: str) -> bool:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return tensor is not None and bool(tensor.as_numpy()[0])


def _tensor(name: str, text: str) -> Any:
    return pb_utils.Tensor(name, np.array([text.encode()], dtype=np.object_))
