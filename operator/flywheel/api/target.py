"""Where adapters are served: exactly one of Triton, vLLM and NIM."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flywheel.api.model import ClaimRef, Closed, Duration, LocalRef, Rule, Word, rules

ONE_TARGET = "adapters are served by triton, vllm or nim: name exactly one of them"
# Of a container: absolute, no dot or dot-dot segment.
MountPath = Annotated[str, Field(min_length=2, max_length=256, pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$")]

# What a deployment may serve on demand instead of any adapter.
BASE = "Base"
Pin = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|Base)$", max_length=71)]


class Repository(Closed):
    """A volume that the servers read and the operator's Jobs write."""

    persistent_volume_claim: ClaimRef = Field(description="The claim that the server mounts as its repository.")


class TritonTarget(Closed):
    """A Triton server with the Python backend, in explicit model control mode."""

    service_ref: LocalRef = Field(description="The Service whose endpoints are the serving pods.")
    port: int = Field(default=8001, ge=1, le=65535, description="gRPC port of the pods.")
    metrics_port: int = Field(
        default=8002, ge=1, le=65535, description="Port of the pods' Prometheus metrics, read while a canary serves."
    )
    model: Word = Field(description="The stable model name that clients ask.")
    repository: Repository = Field(description="The model repository that the server reads.")


class _ByName(Closed):
    """Servers on which every adapter has a name of its own, and the stable name is an alias."""

    service_ref: LocalRef = Field(description="The Service whose endpoints are the serving pods.")
    port: int = Field(default=8000, ge=1, le=65535, description="HTTP port of the pods.")
    model: Word = Field(
        description="The stable name. An adapter is loaded as <model>-<digest, 12 digits>; status.alias and the"
        " ConfigMap <AdapterDeployment>-alias say which one clients are to ask."
    )
    base_model: str = Field(
        min_length=1, max_length=253, description="The name under which the server answers as the base model."
    )
    store: Repository = Field(description="The volume that holds the adapters, one folder each.")
    drain: Duration = Field(
        default="60s", description="How long the adapter before stays loaded after the alias has moved on."
    )


class VllmTarget(_ByName):
    """vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING: adapters are loaded and unloaded by its HTTP API."""

    mount_path: MountPath = Field(default="/adapters", description="Where the serving pods mount the store.")


class NimTarget(_ByName):
    """NIM for LLMs: the store is its NIM_PEFT_SOURCE, which it looks through every NIM_PEFT_REFRESH_INTERVAL."""

    refresh: Duration = Field(
        default="180s", description="NIM_PEFT_REFRESH_INTERVAL of the pods: how long until a new folder is noticed."
    )


class Target(Closed):
    """Where adapters are served: exactly one of the three."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Rule("(has(self.triton) ? 1 : 0) + (has(self.vllm) ? 1 : 0) + (has(self.nim) ? 1 : 0) == 1", ONE_TARGET)
        )
    }
    triton: TritonTarget | None = Field(default=None, description="Triton servers.")
    vllm: VllmTarget | None = Field(default=None, description="vLLM servers.")
    nim: NimTarget | None = Field(default=None, description="NIM servers.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        """The CEL rule above, for those who do not ask an API server."""
        if sum(entry is not None for entry in (self.triton, self.vllm, self.nim)) != 1:
            raise ValueError(ONE_TARGET)
        return self

    @property
    def server(self) -> TritonTarget | VllmTarget | NimTarget:
        """The one that is named."""
        found = self.triton or self.vllm or self.nim
        assert found is not None  # noqa: S101 - the validator above
        return found

    @property
    def kind(self) -> Literal["triton", "vllm", "nim"]:
        """Its field's name in the spec."""
        return "triton" if self.triton is not None else "vllm" if self.vllm is not None else "nim"

    @property
    def model(self) -> str:
        """The stable name."""
        return self.server.model

    @property
    def claim_name(self) -> str:
        """The claim that adapters are put on."""
        server = self.server
        volume = server.repository if isinstance(server, TritonTarget) else server.store
        return volume.persistent_volume_claim.claim_name
