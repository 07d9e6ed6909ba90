"""The step fetch: downloads the base model from a hub onto the workspace, by commit. It alone holds the hub's token.

Weights are safetensors, never pickles, and nothing of the repository is run.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from flywheel.api.conditions import Reason
from flywheel.api.request import FetchParameters
from flywheel.api.result import FetchFigures, StepResult
from flywheel.workspace.digest import digest_bytes
from flywheel.workspace.manifest import WrongInputError, read_manifest
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError, run

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

TOKEN_VARIABLE = "FLYWHEEL_HUB_TOKEN"  # noqa: S105 - a name, not a secret
_WANTED = (
    *("config.json", "generation_config.json", "*.safetensors", "model.safetensors.index.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template*"),
)
log = logging.getLogger(__name__)


def fetch(attempt: Attempt) -> StepResult:
    """The model's folder, with a manifest of all its files; one that is there already is used again."""
    parameters = attempt.request.parameters
    if not isinstance(parameters, FetchParameters):
        raise BadInputError(f"this program does not know the step {attempt.request.step}")
    try:
        _, digest = read_manifest(attempt.workspace, parameters.folder)
        log.info("%s was fetched before", parameters.repo)
    except WrongInputError:
        digest = _fetched(attempt, parameters)
    manifest, _ = read_manifest(attempt.workspace, parameters.folder)
    return attempt.seal(
        FetchFigures(model=digest, files=len(manifest.files), size=sum(file.size for file in manifest.files))
    )


def _fetched(attempt: Attempt, parameters: FetchParameters) -> str:
    """Download beside the folder, compare with what the hub says, and put it in place: whole or not at all."""
    os.environ.pop("HF_HUB_OFFLINE", None)  # the image's own setting, for all steps but this
    from huggingface_hub import HfApi, snapshot_download

    token = os.environ.get(TOKEN_VARIABLE, "").strip() or False
    # Of this run alone, for two may fetch the same model; and the same after a restart, so that it goes on.
    mine = digest_bytes(f"{attempt.request.output.partition('/iter-')[0]} {parameters.folder}".encode())
    scratch = f"{parameters.folder.rpartition('/')[0]}/part-{mine.removeprefix('sha256:')[:16]}"
    with _explained(parameters):
        api = HfApi(token=token)
        said = api.model_info(parameters.repo, revision=parameters.revision, files_metadata=True)
        names = _wanted(parameters, said)
        log.info("progress fetch %s 0/%d files", parameters.repo, len(names))
        snapshot_download(
            parameters.repo,
            revision=parameters.revision,
            endpoint=api.endpoint,
            token=token,
            allow_patterns=names,
            local_dir=attempt.workspace.local(scratch),
        )
    shutil.rmtree(attempt.workspace.local(scratch) / ".cache", ignore_errors=True)
    _check(attempt, scratch, said, names)
    size = sum(attempt.workspace.size(f"{scratch}/{file}") for file in names)
    figures = FetchFigures(model=attempt.workspace.digest(f"{scratch}/config.json"), files=len(names), size=size)
    digest = attempt.seal(figures, folder=scratch).manifest
    try:
        attempt.workspace.rename(scratch, parameters.folder)
    except OSError:
        if not attempt.workspace.exists(f"{parameters.folder}/manifest.json"):
            raise
        attempt.workspace.remove(scratch)  # another run was faster, with the same commit
        _, digest = read_manifest(attempt.workspace, parameters.folder)
    return digest or ""


def _wanted(parameters: FetchParameters, said: ModelInfo) -> list[str]:
    where = f"student.model.hub: {parameters.repo} at {parameters.revision[:12]}"
    if said.sha != parameters.revision:
        raise BadInputError(f"{where} is answered with another commit: name the commit itself")
    found = sorted(
        entry.rfilename
        for entry in said.siblings or []
        if any(fnmatch(entry.rfilename, wanted) for wanted in _WANTED) and "/" not in entry.rfilename
    )
    for needed in ("config.json", "*.safetensors", "tokenizer*"):
        if not any(fnmatch(name, needed) for name in found):
            raise BadInputError(f"{where} has no {needed}: a model in the format of Hugging Face is needed")
    return found


def _check(attempt: Attempt, folder: str, said: ModelInfo, names: list[str]) -> None:
    """Every file is there, and those that the hub has digests of are what it says."""
    if (found := attempt.workspace.files(folder)) != names:
        raise TryLaterError(f"the hub gave {len(found)} files and not {len(names)}", Reason.HUB_UNAVAILABLE)
    for entry in said.siblings or []:
        if entry.rfilename not in names or entry.lfs is None:
            continue
        if attempt.workspace.digest(f"{folder}/{entry.rfilename}") != f"sha256:{entry.lfs.sha256}":
            attempt.workspace.local(f"{folder}/{entry.rfilename}").unlink()
            raise TryLaterError(f"{entry.rfilename} is not what the hub says: fetched again", Reason.HUB_UNAVAILABLE)


@contextmanager
def _explained(parameters: FetchParameters) -> Generator[None]:
    """The hub's refusals in our words."""
    from huggingface_hub import errors
    from requests import RequestException

    where = f"student.model.hub: {parameters.repo}"
    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise BadInputError(f"{where} has no commit {parameters.revision[:12]}: name one in a new run") from error
    except errors.RepositoryNotFoundError as error:  # gated ones are a kind of it
        text = f"{where} is not shown to us: check its name; a private or gated one needs a token that may read it, as"
        raise TryLaterError(f"{text} key hubToken of the Secret of tokenSecretRef", Reason.HUB_TOKEN) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, RequestException) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            text = f"{where}: the hub refuses the token (HTTP {status}): put a valid one into hubToken of its Secret"
            raise TryLaterError(text, Reason.HUB_TOKEN) from error
        text = f"{where}: the hub cannot be reached or is ill (HTTP {status or 'none'}): it is asked again"
        raise TryLaterError(text, Reason.HUB_UNAVAILABLE) from error


if __name__ == "__main__":
    run(fetch)
