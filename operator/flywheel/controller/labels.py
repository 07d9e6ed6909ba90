"""Names that the operator puts on its Jobs and pods, and reads back from them."""

from __future__ import annotations

DOMAIN = "flywheel.dev"
OWNER_UID = f"{DOMAIN}/owner-uid"
OWNER_KIND = f"{DOMAIN}/owner-kind"
OWNER = f"{DOMAIN}/owner"
STEP = f"{DOMAIN}/step"
ITERATION = f"{DOMAIN}/iteration"
ATTEMPT = f"{DOMAIN}/attempt"
REREADS = f"{DOMAIN}/rereads"
GENERATION = f"{DOMAIN}/generation"
SETTINGS = f"{DOMAIN}/settings"
QUEUES = "kueue.x-k8s.io/"

CONTAINER, SIDECAR = "step", "sidecar"
FIELD_MANAGER = "flywheel"
_VALUE_MAX = 63


def label_value(text: str) -> str:
    """A name as a label may hold it: cut to 63 characters, ending in a letter or digit."""
    return text[:_VALUE_MAX].rstrip("-._")
