"""The model repository that a Triton server reads: pure file work, so that the disk always holds what should serve.

    <repository>/<model>/{config.pbtxt, 1/model.py}                    the stable model, put there by the server's pod
    <repository>/<model>-cand-<digest8>/{config.pbtxt, 1/model.py}     a candidate
    <repository>/.adapters/sha256-<hex>/                               adapters, never changed in place

A model is tied to its adapter by one parameter of its configuration. Must not talk to a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2  # pyright: ignore[reportMissingTypeStubs]

from flywheel.api.conditions import Reason
from flywheel.api.target import BASE
from flywheel.serving.names import CONTRACT_OF, REVISION, candidate_prefix
from flywheel.serving.placing import FOLDER_MODE, place, remove, write
from flywheel.workspace.program import TryLaterError
from flywheel.workspace.store import sync_folder

ADAPTERS = ".adapters"
MODEL_CONFIG = "config.pbtxt"


def stage(
    repository: Path, model: str, candidate_model: str, adapter_folder: Path, digest: str, *, bare: bool = False
) -> None:
    """Bring the adapter, and a model that serves it under the candidate's name. May be repeated.

    `bare`: the model is the bare student, asked as the adapter's contract says. Raises TryLaterError where the server
    has not put its model there yet.
    """
    config = _read_config(repository, model)
    _place_adapter(repository, adapter_folder, digest)
    for leftover in repository.glob(f"{candidate_prefix(model)}*"):
        discard(repository, leftover.name)
    config.name = candidate_model
    _name(config, digest, bare=bare)
    temporary = repository / f".tmp-{token_hex(6)}"
    version = temporary / "1"
    version.mkdir(parents=True)
    for file in sorted((repository / model / "1").glob("*.py")):
        write(version / file.name, file.read_bytes())
    write(temporary / MODEL_CONFIG, _text(config))
    for folder in (temporary, version):
        folder.chmod(FOLDER_MODE)
    temporary.rename(repository / candidate_model)
    sync_folder(repository)


def commit(repository: Path, model: str, adapter_folder: Path, digest: str, *, bare: bool = False) -> None:
    """Have the stable model's configuration name the adapter: what a restarted server loads. May be repeated."""
    config = _read_config(repository, model)
    _place_adapter(repository, adapter_folder, digest)
    if config.parameters[REVISION].string_value == (BASE if bare else digest):
        return
    _name(config, digest, bare=bare)
    write(repository / model / MODEL_CONFIG, _text(config))


def drop(repository: Path, digests: Sequence[str]) -> None:
    """Remove adapters that no model on disk names: another deployment on the same server may serve one of them."""
    named = "\n".join(path.read_text() for path in repository.glob(f"*/{MODEL_CONFIG}"))
    for digest in digests:
        if digest not in named:
            remove(repository / ADAPTERS / digest.replace(":", "-"))


def discard(repository: Path, candidate_model: str) -> None:
    """Remove a candidate's model; a server that has it loaded does not mind."""
    remove(repository / candidate_model)


def committed(repository: Path, model: str) -> str | None:
    """The adapter that the stable model's configuration names; None before the first one."""
    config = _read_config(repository, model)
    return config.parameters[REVISION].string_value if REVISION in config.parameters else None


def _name(config: Any, digest: str, *, bare: bool) -> None:
    config.parameters[REVISION].string_value = BASE if bare else digest
    if CONTRACT_OF in config.parameters:
        del config.parameters[CONTRACT_OF]
    if bare:
        config.parameters[CONTRACT_OF].string_value = digest


def _place_adapter(repository: Path, source: Path, digest: str) -> None:
    place(repository / ADAPTERS, digest.replace(":", "-"), source, digest, replace_damaged=True)


def _read_config(repository: Path, model: str) -> Any:
    path = repository / model / MODEL_CONFIG
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise TryLaterError(
            f"the model repository has no {model}/{MODEL_CONFIG}: the server's pod puts it there when it starts;"
            " check the pod and target.triton.repository",
            Reason.TARGET_UNAVAILABLE,
        ) from error
    try:
        return text_format.Parse(text, cast(Any, model_config_pb2).ModelConfig())
    except text_format.ParseError as error:
        raise TryLaterError(f"{model}/{MODEL_CONFIG} cannot be read: mend it", Reason.TARGET_UNAVAILABLE) from error


def _text(config: Any) -> bytes:
    return text_format.MessageToString(config).encode()
