"""`flywheel replay`: finds the run on a workspace and its resources, and repeats steps and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.local.control import local_runs
from flywheel.local.manifests import read_manifests
from flywheel.local.repeat_decisions import Made, repeat_decisions
from flywheel.local.repeat_steps import Verdict, repeat_steps
from flywheel.loop.naming import run_folder
from flywheel.workspace.manifest import WrongInputError
from flywheel.workspace.recorded import NoRunError, Recorded, only_run, recorded_attempts, request_of
from flywheel.workspace.store import Workspace


class ReplayError(Exception):
    """There is no such run, not one, or nothing of it."""


def replayed(folder: Path, name: str | None, resources: Path | None) -> Iterator[Verdict]:
    """A verdict for each step and decision. Raises ReplayError, ManifestError, WrongInputError."""
    workspace = Workspace(folder)
    known = [read_manifests(resources)] if resources is not None else local_runs(workspace)
    try:
        home = run_folder(known[0][1].metadata) if known and name is None else only_run(workspace, name)
    except NoRunError as error:
        raise ReplayError(str(error)) from error
    attempts = recorded_attempts(workspace, home)
    if not attempts:
        raise ReplayError(f"{home} holds no finished attempt: is {folder} the workspace of that run?")
    yield from repeat_steps(workspace, attempts)
    its = next((entry for entry in known if run_folder(entry[1].metadata) == home), None)
    if its is None:
        yield Verdict(0, "decisions", None, "give --resources with the Curriculum and the FlywheelRun to repeat them")
        return
    curriculum, run = its
    yield from _accepted(run.status, attempts)
    made: list[Made] = []
    for entry in attempts:
        with suppress(WrongInputError):  # said by repeat_steps
            made.append(Made(entry, request_of(workspace, entry)))
    yield from repeat_decisions(curriculum, run, made)


def _accepted(status: FlywheelRunStatus, attempts: list[Recorded]) -> Iterator[Verdict]:
    """Whether the attempts that the status names are those of the workspace."""
    digests = {(entry.iteration, entry.step): entry.digest for entry in attempts}
    for iteration in status.history:
        for step in iteration.steps:
            found = digests.get((iteration.number, step.name))
            if found != step.digest:
                words = "is gone" if found is None else f"is {found[:19]}"
                yield Verdict(iteration.number, step.name, False, f"status names {step.digest[:19]}, which {words}")
