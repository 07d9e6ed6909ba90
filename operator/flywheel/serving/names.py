"""Names that planner, repository and server agree on. Pure."""

from __future__ import annotations

import re

from flywheel.api.target import ADAPTER_ENDING, BASE, CANDIDATE_ENDING, Target, TritonTarget

# The parameter of a model's configuration that ties it to an adapter.
REVISION = "adapter_revision"
# Where the revision is Base: the adapter whose contract says how the bare student is asked.
CONTRACT_OF = "adapter_contract"
# Under Triton's vLLM backend: the name under which multi_lora.json has the adapter, which clients name too.
LORA_NAME = "lora_name"
# One that only counts how often a dead process was started anew.
REVIVED = "revived"


def candidate_name(model: str, digest: str) -> str:
    """The name under which a candidate is tried: `<model>-cand-<digest8>`."""
    return f"{model}-cand-{short(digest)}"


def is_candidate_name(model: str, name: str) -> bool:
    """Whether a name is that of a candidate of this model, and of no other whose name begins alike."""
    return re.fullmatch(f"{re.escape(model)}{CANDIDATE_ENDING}", name) is not None


def adapter_name(model: str, digest: str) -> str:
    """An adapter's own name where every adapter has one: `<model>-<digest, 12 digits>`."""
    return f"{model}-{digest.removeprefix('sha256:')[:12]}"


def is_adapter_name(model: str, name: str) -> bool:
    """Whether a name is that of an adapter of this model, and of no other whose name begins alike."""
    return re.fullmatch(f"{re.escape(model)}{ADAPTER_ENDING}", name) is not None


def alias_of(target: Target, digest: str) -> str:
    """What clients ask while this serves: an adapter's own name, or the base model's."""
    server = target.server
    if isinstance(server, TritonTarget):
        return server.model
    return server.base_model if digest == BASE else adapter_name(server.model, digest)


def tried_as(target: Target, digest: str) -> str:
    """The name under which a candidate is loaded to be verified."""
    return candidate_name(target.model, digest) if target.triton is not None else alias_of(target, digest)


def short(digest: str) -> str:
    """A digest as people read it."""
    return digest.removeprefix("sha256:")[:8]
