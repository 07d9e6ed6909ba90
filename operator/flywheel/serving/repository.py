"""The model repository that a Triton server reads: pure file work, so that the disk always holds what should serve.

    <repository>/<model>/{config.pbtxt, 1/model.py}                    the stable model, put there by the server's pod
    <repository>/<model>-cand-<digest8>/{config.pbtxt, 1/model.py}     a candidate
    <repository>/.adapters/sha256-<hex>/                               adapters, never changed in place

Under Triton's vLLM backend multi_lora.py says what a version holds; `mount` is where its pods have the repository.
A model is tied to its adapter by one parameter of its configuration. Must not talk to a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2  # pyright: ignore[reportMissingTypeStubs]

from flywheel.api.conditions import Reason
from flywheel.api.target import BASE
from flywheel.serving import multi_lora
from flywheel.serving.names import CONTRACT_OF, REVISION, is_candidate_name
from flywheel.serving.placing import bring_folder, place, remove, write
from flywheel.workspace.program import TryLaterError

ADAPTERS = ".adapters"
MODEL_CONFIG = "config.pbtxt"


def stage(
    repository: Path,
    model: str,
    candidate_model: str,
    adapter_folder: Path,
    digest: str,
    *,
    bare: bool = False,
    mount: str | None = None,
) -> None:
    """Bring the adapter, and a model that serves it under the candidate's name. May be repeated.

    `bare`: the model is the bare student, asked as the adapter's contract says. Raises TryLaterError where the server
    has not put its model there yet.
    """
    config = _read_config(repository, model)
    _place_adapter(repository, adapter_folder, digest)
    for leftover in repository.iterdir():
        if is_candidate_name(model, leftover.name):
            discard(repository, leftover.name)
    config.name = candidate_model
    _name(config, digest, bare=bare)
    files = _python_files(repository, model)
    if mount is not None:
        files = multi_lora.version_files(repository / model, _seen(mount, digest))
        multi_lora.serve_version(config, 1, model)
    inside = {f"1/{name}": data for name, data in files.items()}
    bring_folder(repository / candidate_model, inside | {MODEL_CONFIG: _text(config)})
    _place_adapter(repository, adapter_folder, digest)  # dropped by another deployment before it was named here?


def commit(
    repository: Path,
    model: str,
    adapter_folder: Path,
    digest: str,
    *,
    bare: bool = False,
    mount: str | None = None,
) -> None:
    """Have the stable model's configuration name the adapter: what a restarted server loads. May be repeated."""
    config = _read_config(repository, model)
    _place_adapter(repository, adapter_folder, digest)
    if config.parameters[REVISION].string_value == (BASE if bare else digest):
        return
    _name(config, digest, bare=bare)
    if mount is not None:
        multi_lora.add_version(repository / model, config, _seen(mount, digest))
    write(repository / model / MODEL_CONFIG, _text(config))
    _place_adapter(repository, adapter_folder, digest)  # as in stage


def drop(repository: Path, digests: Sequence[str]) -> None:
    """Remove adapters that no model on disk names: another deployment on the same server may serve one of them."""
    for digest in digests:
        if not _named(repository, digest):
            remove(repository / ADAPTERS / digest.replace(":", "-"), unless=partial(_named, repository, digest))


def discard(repository: Path, candidate_model: str) -> None:
    """Remove a candidate's model; a server that has it loaded does not mind."""
    remove(repository / candidate_model)


def committed(repository: Path, model: str) -> str | None:
    """The adapter that the stable model's configuration names; None before the first one."""
    config = _read_config(repository, model)
    return config.parameters[REVISION].string_value if REVISION in config.parameters else None


def _named(repository: Path, digest: str) -> bool:
    """Whether any model on disk names an adapter."""
    for pattern in (f"*/{MODEL_CONFIG}", f"*/*/{multi_lora.MULTI_LORA}"):
        for path in repository.glob(pattern):
            with suppress(FileNotFoundError):  # another deployment's candidate, which goes just now
                if digest.removeprefix("sha256:") in path.read_text():
                    return True
    return False


def _python_files(repository: Path, model: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((repository / model / "1").glob("*.py"))}


def _seen(mount: str, digest: str) -> str:
    """An adapter's folder as the serving pods see it."""
    return f"{mount}/{ADAPTERS}/{digest.replace(':', '-')}"


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
            f"the model repository has no {model}/{MODEL_CONFIG}: the server's pod puts it there when it starts,"
            " the seed Job where it is a bucket; check them and target.triton.repository",
            Reason.TARGET_UNAVAILABLE,
        ) from error
    try:
        return text_format.Parse(text, cast(Any, model_config_pb2).ModelConfig())
    except text_format.ParseError as error:
        raise TryLaterError(f"{model}/{MODEL_CONFIG} cannot be read: mend it", Reason.TARGET_UNAVAILABLE) from error


def _text(config: Any) -> bytes:
    return text_format.MessageToString(config).encode()
