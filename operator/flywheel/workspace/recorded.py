"""The attempts that a run left on a workspace, as their manifests tell of them. Must not know who reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flywheel.api.request import StepRequest
from flywheel.workspace.manifest import MANIFEST, Manifest, WrongInputError, read_manifest
from flywheel.workspace.program import REQUEST
from flywheel.workspace.store import Workspace

# As they come; iteration 0 has fetch, validate and preflight.
STEPS = ("fetch", "exam", "answer", "evaluate", "train", "validate", "preflight", "test", "judge", "cleanup")
_ATTEMPT = re.compile(r"iter-([0-9]+)/([a-z]+)/a([0-9]+)\Z")


@dataclass(frozen=True)
class Recorded:
    """An attempt that left a manifest."""

    iteration: int
    step: str
    attempt: int
    folder: str
    digest: str
    manifest: Manifest


class NoRunError(Exception):
    """There is no such run on a workspace, or not one."""


def run_folders(workspace: Workspace) -> list[str]:
    """The runs on a workspace."""
    return [run for namespace in workspace.folders("runs") for run in workspace.folders(namespace)]


def only_run(workspace: Workspace, name: str | None) -> str:
    """The folder of the run `namespace/name`, or of the only one. Raises NoRunError."""
    found = run_folders(workspace)
    if name is not None:
        found = [home for home in found if home.rpartition("-")[0] == f"runs/{name}"]
    if len(found) != 1:
        there = ", ".join(found) or "none"
        raise NoRunError(f"name one run as namespace/name; on the workspace are: {there}")
    return found[0]


def recorded_attempts(workspace: Workspace, home: str) -> list[Recorded]:
    """Of each step of each iteration the newest attempt with a manifest, in the order they were made.

    Raises WrongInputError for a manifest that cannot be read.
    """
    newest: dict[tuple[int, int], Recorded] = {}
    for path in sorted(workspace.local(home).glob(f"iter-*/*/a*/{MANIFEST}")):
        folder = path.parent.relative_to(workspace.root).as_posix()
        if (found := _ATTEMPT.search(folder)) is None or found[2] not in STEPS:
            continue
        manifest, digest = read_manifest(workspace, folder)
        entry = Recorded(int(found[1]), found[2], int(found[3]), folder, digest, manifest)
        key = (entry.iteration, STEPS.index(entry.step))
        if key not in newest or newest[key].attempt < entry.attempt:
            newest[key] = entry
    return [newest[key] for key in sorted(newest)]


def request_of(workspace: Workspace, recorded: Recorded) -> StepRequest:
    """What an attempt was asked. Raises WrongInputError."""
    try:
        return StepRequest.model_validate(workspace.read_json(f"{recorded.folder}/{REQUEST}"))
    except (OSError, ValueError) as error:
        raise WrongInputError(f"{recorded.folder}/{REQUEST} is missing or cannot be read") from error
