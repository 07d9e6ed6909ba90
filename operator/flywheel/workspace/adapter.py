"""The adapter contract: a Hugging Face PEFT folder, and the digest that names it (SCIENCE 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import safetensors

from flywheel.workspace.digest import canonical_json, digest_bytes
from flywheel.workspace.store import Workspace

# Folder of the adapter in a train attempt.
FOLDER = "adapter"
CONFIG, WEIGHTS, CONTRACT, CARD, PROBES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "contract.json",
    "card.json",
    "probes.jsonl",
)
# Paths differ between machines and say nothing of the adapter.
_PATHS = ("base_model_name_or_path", "auto_mapping", "revision")


class BadAdapterError(Exception):
    """A folder that is not a usable adapter."""


def adapter_digest(workspace: Workspace, folder: str) -> str:
    """Digest over sorted tensors and the canonical config without paths.

    Raises BadAdapterError when a file is missing or holds anything but a LoRA of finite shape.
    """
    for name in (CONFIG, WEIGHTS, CONTRACT):
        if not workspace.local(f"{folder}/{name}").is_file():
            raise BadAdapterError(f"the adapter has no {name}")
    config, contract = (_object(workspace, f"{folder}/{name}") for name in (CONFIG, CONTRACT))
    if config.get("peft_type") != "LORA" or not config.get("base_model_name_or_path"):
        raise BadAdapterError(f"{CONFIG} must have peft_type LORA and name its base model")
    tensors: list[tuple[str, str, list[int], str]] = []
    for name, tensor in _tensors(workspace.read_bytes(f"{folder}/{WEIGHTS}")):
        tensors.append((name, str(tensor["dtype"]), list(tensor["shape"]), digest_bytes(bytes(tensor["data"]))))
    if not tensors:
        raise BadAdapterError(f"{WEIGHTS} holds no tensor")
    canonical = {key: value for key, value in config.items() if key not in _PATHS}
    return digest_bytes(canonical_json({"config": canonical, "contract": contract, "tensors": sorted(tensors)}))


def _tensors(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    deserialize = cast("Callable[[bytes], list[tuple[str, dict[str, Any]]]]", cast(Any, safetensors).deserialize)
    try:
        return deserialize(data)
    except safetensors.SafetensorError as error:
        raise BadAdapterError(f"{WEIGHTS} is not a safetensors file: {error}") from error


def _object(workspace: Workspace, path: str) -> dict[str, Any]:
    try:
        value = workspace.read_json(path)
    except ValueError as error:
        raise BadAdapterError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadAdapterError(f"{path} must hold a JSON object")
    return cast("dict[str, Any]", value)
