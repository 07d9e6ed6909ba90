"""The store that vLLM and NIM read: pure file work.

    <store>/<model>-<digest, 12 digits>/{adapter_config.json, adapter_model.safetensors, contract.json}

A folder comes by rename, never changes, and goes by rename: both servers read files again while an adapter is loaded.
Must not talk to a server: whether anyone still reads a folder is for the plan to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flywheel.serving.names import adapter_name, is_adapter_name
from flywheel.serving.placing import place, remove
from flywheel.workspace.adapter import CONTRACT
from flywheel.workspace.program import BadInputError


def bring(store: Path, model: str, name: str, adapter_folder: Path, digest: str) -> None:
    """Have the adapter in the store under its own name. May be repeated."""
    if name != adapter_name(model, digest):
        raise BadInputError(f"{name} is not the name of adapter {digest} of model {model}")
    place(store, name, adapter_folder, digest, replace_damaged=False)


def retire(store: Path, model: str, names: Sequence[str]) -> None:
    """Remove adapters' folders; those that are gone already are no error. Others' under such a name are left alone."""
    foreign = [name for name in names if not is_adapter_name(model, name)]
    if foreign:
        raise BadInputError(f"{foreign[0]} is no adapter of model {model}: nothing was removed")
    for name in names:
        if (store / name / CONTRACT).is_file():  # nobody else writes one: a .nemo that was made of ours has none
            remove(store / name)
