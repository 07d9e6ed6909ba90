"""Names that planner, repository and server agree on. Pure."""

from __future__ import annotations

# The parameter of a model's configuration that ties it to an adapter.
REVISION = "adapter_revision"
# Where the revision is Base: the adapter whose contract says how the bare student is asked.
CONTRACT_OF = "adapter_contract"
# One that only counts how often a dead process was started anew.
REVIVED = "revived"


def candidate_prefix(model: str) -> str:
    """What the names of all candidates of a model begin with."""
    return f"{model}-cand-"


def candidate_name(model: str, digest: str) -> str:
    """The name under which a candidate is tried: `<model>-cand-<digest8>`."""
    return f"{candidate_prefix(model)}{digest.removeprefix('sha256:')[:8]}"


def short(digest: str) -> str:
    """A digest as people read it."""
    return digest.removeprefix("sha256:")[:8]
