"""The step publish: puts an adapter where servers read it, under its digest, and into the server's model repository or
store; and removes from a store what no server has loaded any more.

All phases may be repeated at will. Must not talk to a server.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from flywheel.api.conditions import Reason
from flywheel.api.request import Input, PublishParameters
from flywheel.api.result import PublishFigures, StepResult
from flywheel.data.pools import group_digests
from flywheel.serving import repository, store
from flywheel.steps.material import read_pool, read_units
from flywheel.steps.parameters import parameters_of
from flywheel.workspace.adapter import CARD, CONFIG, CONTRACT, PROBES, WEIGHTS, BadAdapterError, adapter_digest
from flywheel.workspace.digest import digest_bytes
from flywheel.workspace.manifest import MANIFEST, File, check_input, read_manifest
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError, log, run
from flywheel.workspace.sidecar import Sidecar

FILE_MODE, FOLDER_MODE = 0o644, 0o755  # the serving user is another one


def publish(attempt: Attempt) -> StepResult:
    """Stage or commit an adapter, or retire some."""
    parameters = parameters_of(attempt, PublishParameters)
    place = _repository(attempt, parameters)
    if parameters.phase == "retire":
        return _retire(attempt, parameters, place)
    folder = attempt.path(parameters.adapter_digest.replace(":", "-"))
    if not attempt.workspace.exists(folder):
        _place(attempt, parameters, folder)
    _, manifest = read_manifest(attempt.workspace, folder)
    check_input(attempt.workspace, Input(name="published", path=folder, digest=manifest))
    _require_digest(attempt, folder, parameters.adapter_digest)

    served = attempt.workspace.local(folder)
    digest, bare, mount = parameters.adapter_digest, parameters.serve_base, parameters.mount_path
    with _as_in_the_bucket():
        if parameters.layout == "Folders":
            store.bring(place, parameters.model, parameters.candidate_model, served, digest)
        elif parameters.phase == "stage":
            named = parameters.candidate_model
            repository.stage(place, parameters.model, named, served, digest, bare=bare, mount=mount)
        else:
            repository.commit(place, parameters.model, served, digest, bare=bare, mount=mount)
            repository.drop(place, parameters.drop)
    figures = PublishFigures(phase=parameters.phase, adapter=parameters.adapter_digest)
    return StepResult(manifest=manifest, path=folder, figures=figures)


def _retire(attempt: Attempt, parameters: PublishParameters, place: Path) -> StepResult:
    with _as_in_the_bucket():
        store.retire(place, parameters.model, parameters.retired)
    log.info("removed from the store: %s", ", ".join(parameters.retired))
    return attempt.seal(PublishFigures(phase="retire", adapter=parameters.adapter_digest))


@contextmanager
def _as_in_the_bucket() -> Generator[None]:
    """Where servers read a bucket, the folder is a copy: brought before it is changed, and put as one new revision."""
    named = os.environ.get("FLYWHEEL_REPOSITORY")
    if named is None:
        yield
        return
    sidecar = Sidecar(Path(named))
    sidecar("bring")
    yield
    if not sidecar("put_revision"):
        words = (
            "somebody else changed the bucket that the servers read meanwhile: this is done again on what it has now"
        )
        raise TryLaterError(words, Reason.TARGET_UNAVAILABLE)


def _repository(attempt: Attempt, parameters: PublishParameters) -> Path:
    named = Path(parameters.repository_path)
    return named if named.is_absolute() else attempt.workspace.local(parameters.repository_path)


def _place(attempt: Attempt, parameters: PublishParameters, folder: str) -> None:
    workspace = attempt.workspace
    # Another AdapterDeployment may be publishing the same adapter right now.
    owner = digest_bytes(attempt.request.owner.encode())[7:15]
    temporary = attempt.path(f"tmp-{parameters.adapter_digest[7:23]}-{owner}-a{attempt.request.attempt}")
    # Only an attempt that was killed leaves one.
    shutil.rmtree(workspace.local(temporary), ignore_errors=True)
    source = _adapter_home(attempt)
    for name, file in _adapter_files(attempt, source).items():
        workspace.write_bytes(f"{temporary}/{name}", workspace.read_bytes(file))
    if attempt.input("measured") is not None:
        probes = attempt.input_path("measured", PROBES)
        if workspace.exists(probes):
            workspace.write_bytes(f"{temporary}/{PROBES}", workspace.read_bytes(probes))
    workspace.write_json(f"{temporary}/{CARD}", _card(attempt, parameters))
    _require_digest(attempt, temporary, parameters.adapter_digest)
    attempt.seal(PublishFigures(phase="stage", adapter=parameters.adapter_digest), folder=temporary)
    _make_readable(workspace.local(temporary))
    try:
        workspace.rename(temporary, folder)
        log.info("adapter %s is at %s", parameters.adapter_digest, folder)
    except OSError:
        # Another attempt was faster: the digest says that both brought the same.
        if not workspace.exists(f"{folder}/{MANIFEST}"):
            raise
        shutil.rmtree(workspace.local(temporary))


def _adapter_home(attempt: Attempt) -> str:
    """The folder below the input that holds the adapter's configuration."""
    entry = attempt.input("adapter")
    if entry is None:
        raise BadInputError("the adapter is not published, and the request names no training to take it from")
    homes = [file.path for file in attempt.manifests["adapter"].files if file.path.split("/")[-1] == CONFIG]
    if len(homes) != 1:
        raise BadInputError(f"{entry.path} holds {len(homes)} adapters: train again")
    return homes[0].removesuffix(CONFIG)


def _adapter_files(attempt: Attempt, home: str) -> dict[str, str]:
    """Files of the adapter under their names in the published folder; what else lies there may be a pickle."""
    wanted = {home + name: name for name in (CONFIG, WEIGHTS, CONTRACT)}
    files: list[File] = [file for file in attempt.manifests["adapter"].files if file.path in wanted]
    return {wanted[file.path]: attempt.input_path("adapter", file.path) for file in files}


def _card(attempt: Attempt, parameters: PublishParameters) -> dict[str, object]:
    """Where the adapter comes from and what it proved: no times, so that the same adapter has the same card."""
    measured = attempt.manifests.get("measured")
    return {
        "adapter": parameters.adapter_digest,
        "namespace": attempt.request.namespace,
        "run": parameters.run,
        "iteration": parameters.run_iteration,
        "inputs": [entry.to_json_object() for entry in attempt.request.inputs],
        "test": None if measured is None else measured.figures.to_json_object(),
        "trainedGroups": _trained_groups(attempt),
    }


def _trained_groups(attempt: Attempt) -> list[str] | None:
    """Of all that its training set may come from: replayed items, and what the teacher wrote examples after."""
    if attempt.input("curriculum") is None:
        return None
    shown = [*read_pool(attempt, "curriculum"), *read_units(attempt, "curriculum")]
    return group_digests(entry.group for entry in shown)


def _require_digest(attempt: Attempt, folder: str, wanted: str) -> None:
    try:
        found = adapter_digest(attempt.workspace, folder)
    except (BadAdapterError, json.JSONDecodeError) as error:
        raise BadInputError(f"the adapter in {folder} cannot be used: {error}", Reason.ADAPTER_DAMAGED) from error
    if found != wanted:
        raise BadInputError(f"the adapter in {folder} has the digest {found}, not {wanted}", Reason.ADAPTER_DAMAGED)


def _make_readable(folder: Path) -> None:
    folder.chmod(FOLDER_MODE)
    for file in folder.iterdir():
        file.chmod(FILE_MODE)


if __name__ == "__main__":
    run(publish)
