"""manifest.json: written last, with the digests of all inputs and outputs. What has no manifest does not exist."""

from __future__ import annotations

from pydantic import Field, ValidationError

from flywheel.api.model import Closed, Digest, RelativePath
from flywheel.api.request import Input
from flywheel.api.result import Figures, StepResult
from flywheel.workspace.digest import digest_bytes
from flywheel.workspace.store import UnsafePathError, Workspace

MANIFEST = "manifest.json"


class File(Closed):
    """One output file."""

    path: RelativePath
    digest: Digest
    size: int


class Manifest(Closed):
    """What an attempt read and left."""

    version: int = 1
    step: str
    owner: str
    iteration: int
    attempt: int
    seed: int
    inputs: list[Input] = Field(default_factory=list[Input])
    files: list[File]
    figures: Figures


class WrongInputError(Exception):
    """An input is missing, unfinished or not what the plan named."""


def seal(workspace: Workspace, folder: str, manifest: Manifest) -> str:
    """Write manifest.json into the folder and return its digest."""
    workspace.write_json(f"{folder}/{MANIFEST}", manifest.to_json_object())
    return workspace.digest(f"{folder}/{MANIFEST}")


def list_files(workspace: Workspace, folder: str, leave_out: tuple[str, ...] = ()) -> list[File]:
    """Every file of a folder with its digest, without the manifest and the folders in `leave_out`."""
    return [
        File(path=path, digest=workspace.digest(f"{folder}/{path}"), size=workspace.size(f"{folder}/{path}"))
        for path in workspace.files(folder)
        if path != MANIFEST and path.split("/")[0] not in leave_out
    ]


def read_manifest(workspace: Workspace, folder: str) -> tuple[Manifest, str]:
    """The manifest of a folder and its digest; raises WrongInputError when there is none that can be read."""
    try:
        data = workspace.read_bytes(f"{folder}/{MANIFEST}")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise WrongInputError(f"{folder} has no {MANIFEST}: it was never finished, or the volume is wrong") from error
    except UnsafePathError as error:
        raise WrongInputError(str(error)) from error
    try:
        return Manifest.model_validate_json(data), digest_bytes(data)
    except ValidationError as error:
        raise WrongInputError(f"{folder}/{MANIFEST} cannot be read: {error.error_count()} faults") from error


def check_input(workspace: Workspace, entry: Input) -> Manifest:
    """Check a mounted input against the plan: the manifest's digest, then every file of its parts.

    Raises WrongInputError: a wrong subPath is a silent empty folder, so nothing is taken on trust.
    """
    manifest, digest = read_manifest(workspace, entry.path)
    if digest != entry.digest:
        raise WrongInputError(f"input {entry.name}: {entry.path} has manifest {digest}, the plan names {entry.digest}")
    wanted = [file for file in manifest.files if not entry.parts or _within(file.path, entry.parts)]
    for part in entry.parts:
        if not any(_within(file.path, [part]) for file in wanted):
            raise WrongInputError(f"input {entry.name}: {entry.path} holds nothing named {part}")
    for file in wanted:
        _check_file(workspace, entry, file)
    return manifest


def _check_file(workspace: Workspace, entry: Input, file: File) -> None:
    path = f"{entry.path}/{file.path}"
    try:
        if not workspace.local(path).is_file():
            raise WrongInputError(f"input {entry.name}: {path} is missing")
        if workspace.digest(path) != file.digest:
            raise WrongInputError(f"input {entry.name}: {path} differs from its manifest")
    except UnsafePathError as error:
        raise WrongInputError(f"input {entry.name}: {error}") from error


def _within(path: str, parts: list[str]) -> bool:
    return any(path == part or path.startswith(part + "/") for part in parts)


def result_of(folder: str, manifest: Manifest, digest: str) -> StepResult:
    """The step result that a manifest stands for."""
    return StepResult(manifest=digest, path=folder, figures=manifest.figures)
