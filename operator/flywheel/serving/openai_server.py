"""Driver for servers that speak OpenAI's API and list every adapter as a model: vLLM (its LoRA calls too) and NIM.

Asks one pod by its own address. Must not know what should be served. Error texts of a server stay in the log.
"""

from __future__ import annotations

import logging
import re
import ssl
from types import TracebackType
from typing import Any

import httpx2
from pydantic import BaseModel, ValidationError

from flywheel.api.target import NimTarget, VllmTarget
from flywheel.serving.access import OPEN, Access, Trust
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
from flywheel.serving.names import is_adapter_name

log = logging.getLogger(__name__)
logging.getLogger("httpx2").setLevel(logging.WARNING)

LOOK_SECONDS, LOAD_SECONDS, ANSWER_SECONDS = 5.0, 120.0, 120.0
# Two calls, and as many again for a slow network.
POD_SECONDS = 4 * LOOK_SECONDS
CALL_SECONDS = LOAD_SECONDS + POD_SECONDS
# X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_OTHER_NAME = (62, 64)
_RANK = re.compile(r"rank (\d{1,6}) is greater than max_lora_rank (\d{1,6})")
ByName = VllmTarget | NimTarget


class _Model(BaseModel):
    id: str
    root: str | None = None


class _Models(BaseModel):
    data: list[_Model]


class _Message(BaseModel):
    content: str = ""


class _Choice(BaseModel):
    text: str | None = None
    message: _Message | None = None
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice]


class _Refusal(ServingError):
    """An HTTP error; its text is for telling causes apart, and for the log."""

    def __init__(self, address: str, status: int, text: str) -> None:
        super().__init__(f"{address} refused a call (HTTP {status}): see the operator's log")
        self.status, self.text = status, text


class OpenAiPod:
    """One pod's server. Use as a context manager. `guard` is called before every request, and may raise."""

    def __init__(self, address: str, guard: Guard = lambda: None, access: Access = OPEN) -> None:
        self.address = address
        self._guard, self._access, trust = guard, access, access.trust
        # A pod is asked itself, whatever proxy the environment names.
        self._http = httpx2.Client(
            base_url=f"{'http' if trust is None else 'https'}://{address}",
            headers=access.headers,
            verify=trust.context() if trust is not None else True,
            trust_env=False,
        )
        # What the certificate is checked against, in place of the pod's address.
        self._extensions = {"sni_hostname": trust.server_name} if trust is not None else {}

    def __enter__(self) -> OpenAiPod:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def check_health(self, path: str) -> None:
        """Raises PodUnreachableError for an engine that has died: its HTTP server may live on for a while."""
        try:
            self._send("GET", path, LOOK_SECONDS)
        except _Refusal as error:
            raise PodUnreachableError(f"{self.address}{path} says HTTP {error.status}: see the pod's log") from error

    def models(self) -> dict[str, str | None]:
        """Names that may be asked, and where each was read from, if the server says so."""
        listed = self._parsed(_Models, self._send("GET", "/v1/models", LOOK_SECONDS))
        return {model.id: model.root for model in listed.data}

    def load(self, name: str, path: str) -> None:
        """Have vLLM load an adapter; one that is loaded from there already is no error. Raises LoadFailedError."""
        try:
            self._send("POST", "/v1/load_lora_adapter", LOAD_SECONDS, {"lora_name": name, "lora_path": path})
        except _Refusal as error:
            if "has already been loaded" not in error.text:
                raise _load_failure(self.address, path, error) from error
        if (root := self.models().get(name)) != path:
            found = "does not list it" if root is None else "has it from another folder: unload it there"
            raise LoadFailedError(f"{self.address} was to load {name} from {path}, and {found}")

    def unload(self, name: str) -> None:
        """Have vLLM drop an adapter; requests under way are finished. One that is not loaded is no error."""
        try:
            self._send("POST", "/v1/unload_lora_adapter", LOAD_SECONDS, {"lora_name": name})
        except _Refusal as error:
            if error.status != 404 or "cannot be found" not in error.text:
                raise

    def complete(self, request: dict[str, Any]) -> str | None:
        """One completion; None where it was cut. Raises ModelMissingError where the pod does not list the model."""
        return self._answer("/v1/completions", request)

    def chat(self, request: dict[str, Any]) -> str | None:
        """The same of a chat."""
        return self._answer("/v1/chat/completions", request)

    def _answer(self, path: str, request: dict[str, Any]) -> str | None:
        try:
            reply = self._parsed(_Completion, self._send("POST", path, ANSWER_SECONDS, request))
        except _Refusal as error:
            if error.status == 404:
                raise ModelMissingError(f"{self.address} does not list the model, or has no {path}") from error
            raise
        choice = reply.choices[0] if reply.choices else _Choice()
        text = choice.message.content if choice.message is not None else choice.text
        return text if choice.finish_reason == "stop" else None

    def _parsed(self, kind: type[Any], response: httpx2.Response) -> Any:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise ServingError(f"{self.address} did not answer as OpenAI's API: is the port right?") from error

    def _send(self, method: str, path: str, seconds: float, body: dict[str, Any] | None = None) -> httpx2.Response:
        self._guard()
        try:
            response = self._http.request(method, path, json=body, timeout=seconds, extensions=self._extensions)
        except httpx2.HTTPError as error:
            log.warning("%s%s: %s: %s", self.address, path, type(error).__name__, error)
            raise _unreachable(self.address, error, self._access.trust) from error
        if response.status_code in (401, 403):
            raise KeyRefusedError(f"{self.address} {_why_refused(self._access)}")
        if response.status_code != 200:
            said = self._access.hidden(response.text)[:2000]
            log.warning("%s%s answered %s: %s", self.address, path, response.status_code, said)
            raise _Refusal(self.address, response.status_code, response.text)
        return response


def _why_refused(access: Access) -> str:
    if access.credential is None:
        return "wants a key: name a Secret with its apiKey in credentialsRef of the target"
    return "refuses the key: is apiKey of the target's credentialsRef the server's?"


def _unreachable(address: str, error: Exception, trust: Trust | None) -> ServingError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None or trust is None:
        return unreachable(address)
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return trust.refused(address, "no TLS")
    return trust.refused(address, "other name" if cause.verify_code in _OTHER_NAME else "not trusted")


def _load_failure(address: str, path: str, error: _Refusal) -> ServingError:
    """What vLLM means, in our words."""
    if (rank := _RANK.search(error.text)) is not None:
        words = (
            f"the adapter's rank {rank[1]} is above the server's --max-lora-rank {rank[2]}: raise it, or train a lower"
        )
        return LoadFailedError(f"{address}: {words}")
    if "No adapter found" in error.text:
        words = f"finds no adapter at {path}: mount the claim target.vllm.store there (target.vllm.mountPath), readable"
        return NotThereError(f"{address} {words}")
    if "deserializing" in error.text:
        return LoadFailedError(f"{address} cannot read the adapter's weights at {path}: the file is damaged")
    if error.status in (404, 405):
        words = "has no LoRA calls: start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
        return LoadFailedError(f"{address} {words}")
    return LoadFailedError(f"{address} could not load the adapter at {path} (HTTP {error.status}): see its pod's log")


def adapter_path(target: VllmTarget, name: str) -> str:
    """Where a vLLM pod finds an adapter."""
    return f"{target.mount_path}/{name}"


def look(endpoint: Endpoint, target: ByName, guard: Guard, access: Access = OPEN) -> ServingPodView:
    """The adapters of a model that a pod lists, ready or not, and its base model: by name, each by its own name.

    One that was loaded from elsewhere than the store is told by where it is from.
    """
    try:
        with OpenAiPod(endpoint.address, guard, access) as pod:
            pod.check_health("/health" if isinstance(target, VllmTarget) else "/v1/health/ready")
            models = pod.models()
    except ServingError as error:
        return ServingPodView(endpoint, error=str(error), reason=error.reason)
    found: dict[str, str] = {name: name for name in models if name == target.base_model}
    for name, root in models.items():
        if is_adapter_name(target.model, name):
            foreign = isinstance(target, VllmTarget) and root != adapter_path(target, name)
            found[name] = (root or "") if foreign else name
    return ServingPodView(endpoint, candidates=found)


def perform(call: Call, target: ByName, guard: Guard, access: Access = OPEN) -> CallFailure | None:
    """Carry out a call; what failed, if it did."""
    if not isinstance(target, VllmTarget):
        return CallFailure(call, "NIM loads and unloads by itself: it has no such call")
    try:
        with OpenAiPod(call.endpoint.address, guard, access) as pod:
            if isinstance(call, LoadModel):
                pod.load(call.model, adapter_path(target, call.model))
            else:
                pod.unload(call.model)
    except ServingError as error:
        return CallFailure(call, str(error), not_there=isinstance(error, NotThereError))
    return None
