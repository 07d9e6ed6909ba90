"""One question to a model that answers by a stream only (decoupled), as Triton's vLLM backend does.

Must not know what is asked for: triton.py has the errors, asking.py the questions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any, cast

import numpy as np
import tritonclient.grpc as grpc  # pyright: ignore[reportMissingTypeStubs]
from tritonclient.utils import InferenceServerException  # pyright: ignore[reportMissingTypeStubs]


def streamed(client: Any, model: str, inputs: list[Any], seconds: float) -> Any:
    """The first answer. Raises InferenceServerException."""
    answers: SimpleQueue[tuple[Any, Any]] = SimpleQueue()

    def take(result: Any, error: Any) -> None:
        answers.put((result, error))

    client.start_stream(take, stream_timeout=seconds)
    try:
        client.async_stream_infer(model, inputs)
        result, error = answers.get(timeout=seconds)
    except Empty:
        raise InferenceServerException("no answer", status="StatusCode.DEADLINE_EXCEEDED") from None
    finally:
        client.stop_stream(cancel_requests=True)
    if error is not None:
        raise error
    return result


def vllm_inputs(text: str, sampling: Mapping[str, Any]) -> list[Any]:
    """What the vLLM backend takes; without `exclude` it would say the prompt once more before the answer."""
    texts = {"text_input": text, "sampling_parameters": json.dumps(sampling)}
    flags = ("exclude_input_in_output", "return_finish_reason")
    inputs = [_input(name, "BYTES", np.array([value.encode()], dtype=np.object_)) for name, value in texts.items()]
    return inputs + [_input(name, "BOOL", np.array([True])) for name in flags]


def _input(name: str, kind: str, values: Any) -> Any:
    tensor = cast(Any, grpc).InferInput(name, [1], kind)
    tensor.set_data_from_numpy(values)
    return tensor
