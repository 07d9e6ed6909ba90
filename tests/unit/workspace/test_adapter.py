"""An adapter's digest: of its tensors, config and contract; not of their order, nor of paths."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from flywheel.workspace.adapter import CONFIG, CONTRACT, WEIGHTS, BadAdapterError, adapter_digest
from flywheel.workspace.store import Workspace

CONFIG_VALUE: dict[str, Any] = {"peft_type": "LORA", "base_model_name_or_path": "student", "r": 16, "lora_alpha": 32}
CONTRACT_VALUE: dict[str, Any] = {"weights": "sha256:0", "stop": [2]}
TENSORS = {
    f"layers.{n}.q_proj.lora_{side}.weight": np.full((2, 3), n + 0.5, np.float32) for n in (0, 1) for side in "AB"
}


def write(workspace: Workspace, folder: str, tensors: dict[str, Any] = TENSORS, **config: Any) -> str:
    workspace.write_bytes(f"{folder}/{CONFIG}", json.dumps(CONFIG_VALUE | config).encode())
    workspace.write_bytes(f"{folder}/{WEIGHTS}", save(tensors, {"format": folder}))
    workspace.write_json(f"{folder}/{CONTRACT}", CONTRACT_VALUE)
    return adapter_digest(workspace, folder)


def hand_made(tensors: list[tuple[str, bytes]]) -> bytes:
    """A safetensors file with its tensors and its header in this order."""
    header, at = {}, 0
    for name, data in tensors:
        header[name] = {"dtype": "F32", "shape": [len(data) // 4], "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(data for _, data in tensors)


def test_order_and_paths_do_not_matter(workspace: Workspace) -> None:
    first = write(workspace, "a")
    assert write(workspace, "b", base_model_name_or_path="/models/elsewhere", revision="main") == first
    config = json.dumps(dict(reversed(CONFIG_VALUE.items())), indent=2).encode()
    workspace.write_bytes(f"a/{CONFIG}", config)
    assert adapter_digest(workspace, "a") == first
    parts = [("one", b"\x01" * 8), ("two", b"\x02" * 8)]
    digests = set()
    for order in (parts, parts[::-1]):
        workspace.write_bytes(f"a/{WEIGHTS}", hand_made(order))
        digests.add(adapter_digest(workspace, "a"))
    assert len(digests) == 1
    swapped = [("one", b"\x02" * 8), ("two", b"\x01" * 8)]
    workspace.write_bytes(f"a/{WEIGHTS}", hand_made(swapped))
    assert adapter_digest(workspace, "a") not in digests


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_every_byte_of_every_tensor_matters(tmp_path_factory: pytest.TempPathFactory, place: int, change: int) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("adapter"))
    before = write(workspace, "a")
    data = bytearray(workspace.read_bytes(f"a/{WEIGHTS}"))
    begin = 8 + int.from_bytes(data[:8], "little")
    data[begin + place % (len(data) - begin)] ^= change
    workspace.write_bytes(f"a/{WEIGHTS}", bytes(data))
    assert adapter_digest(workspace, "a") != before


def test_name_shape_type_config_and_contract_matter(workspace: Workspace) -> None:
    renamed = {name.replace("q_proj", "k_proj"): tensor for name, tensor in TENSORS.items()}
    reshaped = {name: tensor.reshape(3, 2) for name, tensor in TENSORS.items()}
    retyped = {name: tensor.view(np.int32) for name, tensor in TENSORS.items()}
    found = [write(workspace, "a"), *(write(workspace, "b", other) for other in (renamed, reshaped, retyped))]
    found.append(write(workspace, "c", lora_alpha=16))
    workspace.write_json(f"c/{CONTRACT}", CONTRACT_VALUE | {"stop": [3]})
    found.append(adapter_digest(workspace, "c"))
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, CONTRACT])
def test_a_missing_file_is_named(workspace: Workspace, name: str) -> None:
    write(workspace, "a")
    (workspace.root / "a" / name).unlink()
    with pytest.raises(BadAdapterError, match=name.replace(".", r"\.")):
        adapter_digest(workspace, "a")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (CONFIG, b"{"),
        (CONFIG, b"[]"),
        (CONFIG, b'{"peft_type": "IA3", "base_model_name_or_path": "x"}'),
        (CONFIG, b'{"peft_type": "LORA"}'),
        (CONTRACT, b"null"),
        (WEIGHTS, b"\x80\x04pickle"),
        (WEIGHTS, b""),
        (WEIGHTS, hand_made([])),
    ],
)
def test_what_is_no_adapter_is_refused(workspace: Workspace, name: str, data: bytes) -> None:
    write(workspace, "a")
    workspace.write_bytes(f"a/{name}", data)
    with pytest.raises(BadAdapterError):
        adapter_digest(workspace, "a")
