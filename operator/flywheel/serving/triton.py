"""Driver for Triton: asks one pod by its own address, over gRPC only (HTTP control calls stall other requests).

Must not know what should be served. Error texts of a server stay in the log: they may hold anything.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from types import TracebackType
from typing import Any, cast

import numpy as np
import tritonclient.grpc as grpc  # pyright: ignore[reportMissingTypeStubs]
from tritonclient.utils import InferenceServerException  # pyright: ignore[reportMissingTypeStubs]

from flywheel.serving.calls import Call, CallFailure, Endpoint, LoadModel, ServingPodView
from flywheel.serving.errors import LoadFailedError, ModelMissingError, PodUnreachableError, ServingError
from flywheel.serving.names import REVISION, candidate_prefix

log = logging.getLogger(__name__)

LOAD_SECONDS = 600.0
ANSWER_SECONDS = 120.0
LOOK_SECONDS = 5.0
_POLL_SECONDS = 2.0
_AT_ONCE = 8
Guard = Callable[[], None]
QUESTION, ANSWER, SERVED_BY = "input", "output", "served_by"


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

    def __init__(self, address: str, guard: Guard = lambda: None, clock: Callable[[], float] = time.monotonic) -> None:
        self.address = address
        self._guard, self._clock = guard, clock
        self._client = cast(Any, grpc).InferenceServerClient(url=address)

    def __enter__(self) -> TritonPod:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def loaded(self) -> list[str]:
        """Names of the models that answer."""
        index = self._ask(lambda: self._client.get_model_repository_index(client_timeout=LOOK_SECONDS))
        return sorted({model.name for model in index.models if model.state == "READY"})

    def revision(self, model: str) -> str:
        """The adapter in a loaded model's configuration: what really answers. Empty for none."""
        config = self._ask(lambda: self._client.get_model_config(model, client_timeout=LOOK_SECONDS)).config
        return config.parameters[REVISION].string_value if REVISION in config.parameters else ""

    def load(self, model: str, revision: str, seconds: float = LOAD_SECONDS) -> None:
        """Load what the disk holds; the old model answers until it is there. Raises LoadFailedError."""
        ends = self._clock() + seconds
        try:
            self._ask(lambda: self._client.load_model(model, client_timeout=seconds))
        except _DeadlineError:
            # The server goes on loading: asking again would load twice.
            self._await(model, revision, ends + seconds)
        if self.revision(model) != revision:
            raise LoadFailedError(f"{self.address} loaded {model} with another adapter than the disk should name")

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
        tensor = cast(Any, grpc).InferInput(QUESTION, [1], "BYTES")
        tensor.set_data_from_numpy(np.array([json.dumps(question, ensure_ascii=False).encode()], dtype=np.object_))
        reply = self._ask(lambda: self._client.infer(model, [tensor], client_timeout=ANSWER_SECONDS))
        return Reply(_text(reply, ANSWER), _text(reply, SERVED_BY))

    def _ask(self, call: Callable[[], Any]) -> Any:
        self._guard()
        try:
            return call()
        except InferenceServerException as error:
            raise _typed(self.address, error) from error


class _DeadlineError(PodUnreachableError):
    """The call took longer than its deadline; the server may still be at it."""


def _typed(address: str, error: Any) -> ServingError:
    status, text = str(error.status()), str(error.message())
    log.warning("%s answered %s: %s", address, status, text)
    if status.endswith("DEADLINE_EXCEEDED"):
        return _DeadlineError(f"{address} did not answer in time")
    if "Request for unknown model" in text:
        return ModelMissingError(f"{address} does not have the model loaded")
    if status.endswith("UNAVAILABLE"):
        return PodUnreachableError(f"{address} cannot be reached: is the port right, and the pod running?")
    if "load failed for model" in text or "failed to load" in text:
        return LoadFailedError(f"{address} could not load the model: see the log of its pod")
    return ServingError(f"{address} refused a call ({status}): see the operator's log")


def _text(reply: Any, name: str) -> str:
    values = reply.as_numpy(name)
    if values is None:
        raise ServingError(f"the model's reply has no output {name}: is it served by images/triton?")
    return values.reshape(-1)[0].decode()


def look(endpoint: Endpoint, model: str, guard: Guard) -> ServingPodView:
    """What a pod serves under the stable name and its candidates' names."""
    if not endpoint.ready:
        return ServingPodView(endpoint)
    try:
        with TritonPod(endpoint.address, guard) as pod:
            names = [name for name in pod.loaded() if name == model or name.startswith(candidate_prefix(model))]
            revisions = {name: pod.revision(name) for name in names}
    except ServingError as error:
        return ServingPodView(endpoint, error=str(error))
    stable = revisions.pop(model, None)
    return ServingPodView(endpoint, revision=stable, candidates=revisions)


def look_seconds(pods: int) -> float:
    """The longest that looking at so many pods may take: a few calls each, a few pods at a time."""
    return (1 + pods // _AT_ONCE) * 4 * LOOK_SECONDS


def perform_seconds(calls: int) -> float:
    """The longest that so many calls may take: a load is waited for, and then awaited as long again."""
    return (1 + calls // _AT_ONCE) * (2 * LOAD_SECONDS + 4 * LOOK_SECONDS)


def look_at_all(endpoints: Sequence[Endpoint], model: str, guard: Guard) -> tuple[ServingPodView, ...]:
    """All pods at once; slow ones do not wait for each other."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(look, endpoints, repeat(model), repeat(guard)))


def perform(calls: Sequence[Call], guard: Guard) -> tuple[CallFailure, ...]:
    """Carry out a plan's calls, and say which failed; the next observation is told of them once."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(failure for failure in pool.map(_perform, calls, repeat(guard)) if failure is not None)


def _perform(call: Call, guard: Guard) -> CallFailure | None:
    try:
        with TritonPod(call.endpoint.address, guard) as pod:
            if isinstance(call, LoadModel):
                pod.load(call.model, call.revision)
            else:
                pod.unload(call.model)
    except ServingError as error:
        return CallFailure(call, str(error))
    return None
