"""A model of Triton's vLLM backend on disk: pure file work.

    <model>/config.pbtxt                              which version serves, and which adapter that is
    <model>/1/model.json                              the engine's settings, by people; only copied
    <model>/<n>/{model.json, multi_lora.json}         n = 2, 3, ...: one for each commit, never changed in place
    <model>-cand-<digest8>/{config.pbtxt, 1/...}      a candidate

The backend reads both files of a version once, when its engine starts. config.pbtxt, which is replaced in one go, names
version and adapter at once, so a pod that restarts at any moment serves one whole revision.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from flywheel.api.conditions import Reason
from flywheel.serving.names import LORA_NAME
from flywheel.serving.placing import bring_folder, remove
from flywheel.workspace.program import TryLaterError

MODEL_JSON, MULTI_LORA = "model.json", "multi_lora.json"
TEMPLATE = 1


def version_files(home: Path, adapter: str) -> dict[str, bytes]:
    """What a version's folder holds, for an adapter at this path on the server. Raises TryLaterError.

    The adapter's name there is the stable model's: it never changes, so clients that name it need not know which it is.
    """
    names = json.dumps({home.name: adapter}).encode()
    return {MODEL_JSON: _engine(home / str(TEMPLATE) / MODEL_JSON), MULTI_LORA: names}


def serve_version(config: Any, version: int, lora_name: str) -> None:
    """Have a configuration name one version, and the name under which it has its adapter."""
    config.version_policy.specific.versions[:] = [version]
    config.parameters[LORA_NAME].string_value = lora_name


def add_version(home: Path, config: Any, adapter: str) -> None:
    """Put a new version beside the others, and have the configuration, which is not written yet, name it.

    The one that is named on disk stays, because running engines were started from it; older ones go.
    """
    found = [int(path.name) for path in home.iterdir() if path.name.isdigit()]
    version = max([TEMPLATE, *found]) + 1
    bring_folder(home / str(version), version_files(home, adapter))
    before = cast("list[int]", list(config.version_policy.specific.versions))
    for old in set(found) - {TEMPLATE, *before}:
        remove(home / str(old))
    serve_version(config, version, home.name)


def _engine(path: Path) -> bytes:
    """The engine's settings, which must enable LoRA: else every request that names an adapter would be refused."""
    where = f"{path.parent.parent.name}/{TEMPLATE}/{MODEL_JSON}"
    try:
        data = path.read_bytes()
        settings: Any = json.loads(data)
    except FileNotFoundError as error:
        words = f"the model repository has no {where}: put the vLLM engine's settings there, with enable_lora"
        raise TryLaterError(words, Reason.TARGET_UNAVAILABLE) from error
    except ValueError as error:
        raise TryLaterError(f"{where} is no JSON: mend it", Reason.TARGET_UNAVAILABLE) from error
    enabled = cast("dict[str, Any]", settings).get("enable_lora") if isinstance(settings, dict) else None
    if str(enabled).lower() != "true":
        words = f'{where} does not enable LoRA: add "enable_lora": true, and max_lora_rank'
        raise TryLaterError(words, Reason.TARGET_UNAVAILABLE)
    return data
