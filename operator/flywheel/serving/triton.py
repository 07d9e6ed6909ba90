"""Driver for Triton: asks one pod by its own address, over gRPC only (HTTP control calls stall other requests).

Must not know what should be served. Error texts of a server stay in the log: they may hold anything. What a condition
says anyway, such as a pod that is away, is not logged besides.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

import grpc as transport
import numpy as np
import tritonclient.grpc as grpc  # pyright: ignore[reportMissingTypeStubs]
from google.protobuf import json_format
from tritonclient.utils import InferenceServerException  # pyright: ignore[reportMissingTypeStubs]

from flywheel.data.tokens import Contract
from flywheel.serving.access import OPEN, Access, Fault, Trust
from flywheel.serving.calls import Call, CallFailure, Endpoint, Guard, LoadModel, ServingPodView
from flywheel.serving.errors import (
    KeyRefusedError,
    LoadFailedError,
    ModelMissingError,
    NotThereError,
    PodUnreachableError,
    ServingError,
    unreachable,
)
from flywheel.serving.names import LORA_NAME, REVISION, REVIVED, is_candidate_name
from flywheel.serving.triton_stream import streamed, vllm_inputs

log = logging.getLogger(__name__)

LOAD_SECONDS = 600.0
ANSWER_SECONDS = 120.0
LOOK_SECONDS = 5.0
_POLL_SECONDS = 2.0
# The index; then configuration and life (twice, and each time also by a stream) of the stable model, a candidate, and
# one that was left over.
POD_SECONDS = LOOK_SECONDS + 3 * 5 * LOOK_SECONDS
# A load is waited for, and then awaited as long again.
CALL_SECONDS = 2 * LOAD_SECONDS + POD_SECONDS
QUESTION, ANSWER, SERVED_BY = "input", "output", "served_by"
# The Python backend's words for a model whose process is gone. Server and model stay READY, and nothing restarts it.
_DEAD = re.compile(r"Stub process '[^']*' is not healthy")
# Said to who lacks the credential, with the status of a pod that is away.
_RESTRICTED = "This protocol is restricted"
# What gRPC says of TLS: the first that is in its words counts.
_TLS_FAULTS: dict[str, Fault] = {
    "Hostname Verification": "other name",
    "CERTIFICATE_VERIFY_FAILED": "not trusted",
    "andshake": "no TLS",
}
# What is said to a plain request by a server whose model answers by a stream.
_DECOUPLED = "decoupled transaction policy"
# What images/triton raises, of images/student/flywheel_student/contract.py and flywheel_triton/served.py.
_OTHER_CONTRACT = re.compile(
    r"BadInputError: the adapter's contract\.json differs from this student and task in ([a-z_, ]+)"
)
_OTHER_FILES = re.compile(r"BadAdapterError: the adapter in sha256-[0-9a-f]{64} has the digest sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reply:
    """What a model said, and which adapter said it."""

    text: str
    served_by: str


class TritonPod:
    """One pod's server. Use as a context manager. `guard` is called before every request, and may raise.

    >>> with TritonPod("10.244.0.7:8001") as pod:  # doctest: +SKIP
    ...     pod.revision("severity")
    """

    def __init__(
        self,
        address: str,
        guard: Guard = lambda: None,
        access: Access = OPEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self._guard, self._access, self._clock = guard, access, clock
        self._client = _client(address, access.trust)
        self._client.register_plugin(self._show)  # at every call

    def __enter__(self) -> TritonPod:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _show(self, request: Any) -> None:
        request.headers = self._access.headers

    def loaded(self) -> list[str]:
        """Names of the models that answer."""
        index = self._ask(lambda: self._client.get_model_repository_index(client_timeout=LOOK_SECONDS))
        return sorted({model.name for model in index.models if model.state == "READY"})

    def revision(self, model: str) -> str:
        """The adapter in a loaded model's configuration: what really answers. Empty for none."""
        config = self._config(model)
        return config.parameters[REVISION].string_value if REVISION in config.parameters else ""

    def _config(self, model: str) -> Any:
        return self._ask(lambda: self._client.get_model_config(model, client_timeout=LOOK_SECONDS)).config

    def dead(self, model: str) -> bool:
        """Whether a loaded model's process is dead: an inference alone shows it. Our model answers an empty question.

        Only the backend's own words count, and twice: a process that got no CPU for a second is taken for dead, too.
        """
        return all(self._is_dead(model) for _ in range(2))

    def _is_dead(self, model: str) -> bool:
        self._guard()
        try:
            self._client.infer(model, [_tensor({})], client_timeout=LOOK_SECONDS)
        except InferenceServerException as error:
            if _RESTRICTED in str(error.message()):
                raise _typed(self.address, error, self._access) from error
            if _DECOUPLED in str(error.message()):
                return self._is_dead_by_stream(model)
            # Any other answer, a late one too, is of a model that lives: it need not be ours.
            return _DEAD.search(str(error.message())) is not None
        return False

    def _is_dead_by_stream(self, model: str) -> bool:
        """Of the vLLM backend, which is asked for one token."""
        self._guard()
        try:
            streamed(self._client, model, vllm_inputs("?", {"max_tokens": 1}), LOOK_SECONDS)
        except InferenceServerException as error:
            return _DEAD.search(str(error.message())) is not None
        return False

    def load(self, model: str, revision: str, seconds: float = LOAD_SECONDS) -> None:
        """Load what the disk holds; the old model answers until it is there. Raises LoadFailedError."""
        ends = self._clock() + seconds
        config = self._revived(model, revision)
        try:
            self._ask(lambda: self._client.load_model(model, config=config, client_timeout=seconds))
        except _DeadlineError:
            # The server goes on loading: asking again would load twice.
            self._await(model, revision, ends + seconds)
        if self.revision(model) != revision:
            raise NotThereError(f"{self.address} loaded {model} with another adapter than the disk should name")
        if config is not None and self.dead(model):
            raise LoadFailedError(f"{self.address} loaded {model}, and its process died again: see the log of its pod")

    def _revived(self, model: str, revision: str) -> str | None:
        """The configuration that starts a dead process anew: what changes nothing else. None where none is dead.

        Files that have not changed are not loaded again, and neither is a configuration that was sent before.
        """
        if model not in self.loaded() or self.revision(model) != revision or not self.dead(model):
            return None
        config = self._config(model)
        config.parameters[REVIVED].string_value = str(int(config.parameters[REVIVED].string_value or 0) + 1)
        log.info("%s: the process of %s is dead and is started anew", self.address, model)
        return json_format.MessageToJson(config, preserving_proto_field_name=True)

    def _await(self, model: str, revision: str, ends: float) -> None:
        while self._clock() < ends:
            with suppress(ModelMissingError):
                if self.revision(model) == revision:
                    return
            time.sleep(_POLL_SECONDS)

    def unload(self, model: str) -> None:
        """Unload; requests under way are finished. A model that is not loaded is no error."""
        self._ask(lambda: self._client.unload_model(model, client_timeout=LOAD_SECONDS))

    def ask(self, model: str, question: dict[str, Any]) -> Reply:
        """One question; raises ModelMissingError where the model is not loaded."""
        reply = self._ask(lambda: self._client.infer(model, [_tensor(question)], client_timeout=ANSWER_SECONDS))
        return Reply(_text(reply, ANSWER), _text(reply, SERVED_BY))

    def lora_name(self, model: str) -> str | None:
        """Under the vLLM backend, the name of the adapter that a loaded model was given; None for our own model."""
        config = self._config(model)
        return config.parameters[LORA_NAME].string_value if LORA_NAME in config.parameters else None

    def ask_vllm(self, model: str, text: str, sampling: dict[str, Any]) -> str | None:
        """The same of the vLLM backend, which is asked by text, and does not say who answers; None for a cut answer."""
        inputs = vllm_inputs(text, sampling)
        reply = self._ask(lambda: streamed(self._client, model, inputs, ANSWER_SECONDS))
        return _text(reply, "text_output") if _text(reply, "finish_reason") == "stop" else None

    def _ask(self, call: Callable[[], Any]) -> Any:
        self._guard()
        try:
            return call()
        except InferenceServerException as error:
            raise _typed(self.address, error, self._access) from error


def _client(address: str, trust: Trust | None) -> Any:
    if trust is None:
        return cast(Any, grpc).InferenceServerClient(url=address)
    options = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    options += [("grpc.ssl_target_name_override", trust.server_name)]
    credentials = cast(Any, transport).ssl_channel_credentials(trust.roots())
    return cast(Any, grpc).InferenceServerClient(url=address, creds=credentials, channel_args=options)


class _DeadlineError(PodUnreachableError):
    """The call took longer than its deadline; the server may still be at it."""


def _typed(address: str, error: Any, access: Access) -> ServingError:
    status, text = str(error.status()), str(error.message())
    if status.endswith("DEADLINE_EXCEEDED"):
        return _DeadlineError(f"{address} did not answer in time")
    if "Request for unknown model" in text:
        return ModelMissingError(f"{address} does not have the model loaded")
    if _RESTRICTED in text:
        return KeyRefusedError(f"{address} {_why_refused(access)}")
    if status.endswith("UNAVAILABLE"):
        return _unreachable(address, text, access.trust)
    log.warning("%s answered %s: %s", address, status, access.hidden(text))
    if "failed to poll from model repository" in text:
        return NotThereError(f"{address} finds no such model in its repository, or cannot read its configuration")
    if "load failed for model" in text or "failed to load" in text:
        return LoadFailedError(f"{address} {_why_not_loaded(text)}")
    return ServingError(f"{address} refused a call ({status}): see the operator's log")


def _why_refused(access: Access) -> str:
    if access.credential is None:
        return "wants a credential: name a Secret with its header and value in target.triton.credentialsRef"
    return "refuses the credential: are header and value of target.triton.credentialsRef the server's?"


def _unreachable(address: str, text: str, trust: Trust | None) -> ServingError:
    """gRPC says of TLS in words only what went wrong. The handshake itself is in the log, by gRPC."""
    found: Fault | None = next((fault for words, fault in _TLS_FAULTS.items() if words in text), None)
    return unreachable(address) if trust is None or found is None else trust.refused(address, found)


def _why_not_loaded(text: str) -> str:
    """What our model in the server found wrong, in words of our own: of the server's text only known names are kept."""
    if (differing := _OTHER_CONTRACT.search(text)) is not None:
        named = [name for name in differing[1].split(", ") if name in Contract.model_fields]
        words = "refuses the adapter: it was trained for another model, tokenizer or template than this server's"
        return f"{words} (its contract differs in {', '.join(named)})"
    if _OTHER_FILES.search(text) is not None:
        return "refuses the adapter: its files on the server's volume are not what its digest says"
    return "could not load the model: see the log of its pod"


def _tensor(question: dict[str, Any]) -> Any:
    tensor = cast(Any, grpc).InferInput(QUESTION, [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[json.dumps(question, ensure_ascii=False).encode()]], dtype=np.object_))
    return tensor


def _text(reply: Any, name: str) -> str:
    values = reply.as_numpy(name)
    if values is None:
        raise ServingError(f"the model's reply has no output {name}: is target.triton.backend right?")
    return values.reshape(-1)[0].decode()


def look(endpoint: Endpoint, model: str, guard: Guard, access: Access = OPEN) -> ServingPodView:
    """What a pod serves under the stable name and its candidates' names."""
    if not endpoint.ready:
        return ServingPodView(endpoint)
    try:
        with TritonPod(endpoint.address, guard, access) as pod:
            names = [name for name in pod.loaded() if name == model or is_candidate_name(model, name)]
            dead = {name for name in names if pod.dead(name)}
            revisions = {name: "" if name in dead else pod.revision(name) for name in names}
    except ServingError as error:
        return ServingPodView(endpoint, error=str(error), reason=error.reason)
    stable = revisions.pop(model, None)
    return ServingPodView(endpoint, revision=stable, candidates=revisions, dead=model in dead)


def perform(call: Call, guard: Guard, access: Access = OPEN) -> CallFailure | None:
    """Carry out a call; what failed, if it did."""
    try:
        with TritonPod(call.endpoint.address, guard, access) as pod:
            if isinstance(call, LoadModel):
                pod.load(call.model, call.revision)
            else:
                pod.unload(call.model)
    except ServingError as error:
        return CallFailure(call, str(error), not_there=isinstance(error, NotThereError))
    return None
