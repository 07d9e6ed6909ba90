"""Where adapters are served: exactly one of Triton, vLLM and NIM."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flywheel.api.endpoint import ConfigMapKeyRef
from flywheel.api.model import IMMUTABLE, ClaimRef, Closed, Duration, LocalRef, ObjectName, Rule, Word, rules
from flywheel.api.workspace import S3

# Each name must say what it is, to other AdapterDeployments on the same server too.
CANDIDATE_ENDING, ADAPTER_ENDING = "-cand-([0-9a-f]{8}|Base)", "-[0-9a-f]{12}"
NOT_A_CANDIDATE = "the model's name must not end like a candidate's: -cand- and 8 hexadecimal digits or Base"
NOT_AN_ADAPTER = "the base model's name must not be that of an adapter: <model>- and 12 hexadecimal digits"
ONE_TARGET = "adapters are served by triton, vllm or nim: name exactly one of them"
ONE_REPOSITORY = "what the servers read is either a persistentVolumeClaim or s3: name one of them"
SAME_TARGET = "a target stays triton, vllm or nim: create a new object instead"
_FIXED = rules(IMMUTABLE)
# Of a container: absolute, no dot or dot-dot segment.
MountPath = Annotated[str, Field(min_length=2, max_length=256, pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$")]

# What a deployment may serve on demand instead of any adapter.
BASE = "Base"
Pin = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|Base)$", max_length=71)]


class Repository(Closed):
    """What the servers read and the operator's Jobs write: exactly one of the two."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(Rule("has(self.persistentVolumeClaim) != has(self.s3)", ONE_REPOSITORY))
    }
    persistent_volume_claim: ClaimRef | None = Field(
        default=None, description="The claim that the server mounts as its repository."
    )
    s3: S3 | None = Field(
        default=None,
        description="The folder of a bucket that a container of each serving pod copies (docs/serving/triton.md). Its"
        " Secret is for the operator's Jobs; the pods have one of their own, which only reads.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        """The CEL rule above, for those who do not ask an API server."""
        if (self.persistent_volume_claim is None) == (self.s3 is None):
            raise ValueError(ONE_REPOSITORY)
        return self


class ServerTls(Closed):
    """TLS towards the serving pods."""

    server_name: ObjectName = Field(
        description="The name that the pods' certificate must be for, such as triton.review.svc: each pod is asked by"
        " its own address, which no certificate names."
    )
    ca_bundle_ref: ConfigMapKeyRef | None = Field(
        default=None, description="CA certificates to trust instead of the system's."
    )


class _Server(Closed):
    """What all servers have: pods behind a Service, and what those want before they answer."""

    service_ref: LocalRef = Field(
        description="The Service whose endpoints are the serving pods. Immutable.", json_schema_extra=_FIXED
    )
    tls: ServerTls | None = Field(default=None, description="Ask the pods over TLS; in the clear when absent.")
    credentials_ref: LocalRef | None = Field(
        default=None,
        description="A Secret with what the pods ask for: header and value under triton (its"
        " --grpc-restricted-protocol), apiKey under vllm and nim. The operator may read it only by a Role that names"
        " it: docs/serving has one.",
    )


class TritonTarget(_Server):
    """A Triton server in explicit model control mode."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(Rule(f"!self.model.matches('{CANDIDATE_ENDING}$')", NOT_A_CANDIDATE))
    }
    port: int = Field(
        default=8001, ge=1, le=65535, description="gRPC port of the pods. Immutable.", json_schema_extra=_FIXED
    )
    metrics_port: int = Field(
        default=8002,
        ge=1,
        le=65535,
        description="Port of the pods' Prometheus metrics, read while a canary serves. Immutable.",
        json_schema_extra=_FIXED,
    )
    model: Word = Field(description="The stable model name that clients ask. Immutable.", json_schema_extra=_FIXED)
    repository: Repository = Field(
        description="The model repository that the server reads. Immutable.", json_schema_extra=_FIXED
    )
    backend: Literal["Python", "Vllm"] = Field(
        default="Python",
        description="What runs the model: the Python backend with our model, or Triton's vLLM backend, where clients"
        " name the adapter too: lora_name is the model's name. Immutable.",
        json_schema_extra=_FIXED,
    )
    mount_path: MountPath = Field(
        default="/models",
        description="Under backend Vllm: where the serving pods mount the repository; multi_lora.json names the adapter"
        " by it. Immutable.",
        json_schema_extra=_FIXED,
    )

    @model_validator(mode="after")
    def _named_unlike_a_candidate(self) -> Self:
        """The CEL rule above, for those who do not ask an API server."""
        if re.search(f"{CANDIDATE_ENDING}$", self.model):
            raise ValueError(NOT_A_CANDIDATE)
        return self


class _ByName(_Server):
    """Servers on which every adapter has a name of its own, and the stable name is an alias."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Rule(
                "!self.baseModel.startsWith(self.model + '-')"
                f" || !self.baseModel.substring(size(self.model)).matches('^{ADAPTER_ENDING}$')",
                NOT_AN_ADAPTER,
            )
        )
    }
    port: int = Field(
        default=8000, ge=1, le=65535, description="HTTP port of the pods. Immutable.", json_schema_extra=_FIXED
    )
    model: Word = Field(
        description="The stable name. An adapter is loaded as <model>-<digest, 12 digits>; status.alias and the"
        " ConfigMap <AdapterDeployment>-alias say which one clients are to ask. Immutable.",
        json_schema_extra=_FIXED,
    )
    base_model: str = Field(
        min_length=1,
        max_length=253,
        description="The name under which the server answers as the base model. Immutable.",
        json_schema_extra=_FIXED,
    )
    store: Repository = Field(
        description="The volume that holds the adapters, one folder each. Immutable.", json_schema_extra=_FIXED
    )
    drain: Duration = Field(
        default="60s",
        description="How long the adapter before stays loaded after the alias has moved on. Immutable.",
        json_schema_extra=_FIXED,
    )

    @model_validator(mode="after")
    def _base_named_unlike_an_adapter(self) -> Self:
        """The CEL rule above, for those who do not ask an API server."""
        if re.fullmatch(f"{re.escape(self.model)}{ADAPTER_ENDING}", self.base_model):
            raise ValueError(NOT_AN_ADAPTER)
        return self


class VllmTarget(_ByName):
    """vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING: adapters are loaded and unloaded by its HTTP API."""

    mount_path: MountPath = Field(
        default="/adapters",
        description="Where the serving pods mount the store. Immutable.",
        json_schema_extra=_FIXED,
    )


class NimTarget(_ByName):
    """NIM for LLMs: the store is its NIM_PEFT_SOURCE, which it looks through every NIM_PEFT_REFRESH_INTERVAL."""

    refresh: Duration = Field(
        default="180s",
        description="NIM_PEFT_REFRESH_INTERVAL of the pods: how long until a new folder is noticed. Immutable.",
        json_schema_extra=_FIXED,
    )


class Target(Closed):
    """Where adapters are served: exactly one of the three."""

    model_config = Closed.model_config | {
        "json_schema_extra": rules(
            Rule("(has(self.triton) ? 1 : 0) + (has(self.vllm) ? 1 : 0) + (has(self.nim) ? 1 : 0) == 1", ONE_TARGET),
            # Of three of which one is there.
            Rule(
                "has(self.triton) == has(oldSelf.triton) && has(self.vllm) == has(oldSelf.vllm)",
                SAME_TARGET,
            ),
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
    def repository(self) -> Repository:
        """Where adapters are put."""
        server = self.server
        return server.repository if isinstance(server, TritonTarget) else server.store
