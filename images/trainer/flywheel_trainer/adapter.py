"""From NeMo's adapter folder to the adapter contract: complete configuration, contract.json, readable files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from flywheel.data.tokens import Contract
from flywheel.workspace.adapter import CONFIG, CONTRACT, FOLDER, WEIGHTS, adapter_digest
from flywheel.workspace.program import Attempt

_READABLE = 0o644


def write_adapter(attempt: Attempt, trained: Path, base_model: str, contract: Contract) -> str:
    """Write the attempt's adapter/ and return the adapter's digest."""
    folder = attempt.path(FOLDER)
    config = json.loads((trained / CONFIG).read_text())
    # NeMo leaves the first two empty; a server compares them. Its lists of modules come in no fixed order.
    config |= {
        "base_model_name_or_path": base_model,
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        "target_modules": sorted(config["target_modules"]),
    }
    attempt.workspace.write_json(f"{folder}/{CONFIG}", config)
    attempt.workspace.write_json(f"{folder}/{CONTRACT}", contract.to_json_object())
    shutil.copyfile(trained / WEIGHTS, attempt.workspace.local(f"{folder}/{WEIGHTS}"))
    for name in (CONFIG, CONTRACT, WEIGHTS):
        # safetensors are written for the owner alone; another user serves them.
        attempt.workspace.local(f"{folder}/{name}").chmod(_READABLE)
    return adapter_digest(attempt.workspace, folder)
