"""What a run left: manifests, the files that they name, and its resources where they were given.

A file is read only as its manifest has it. Must not know what is shown of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import FlywheelRunStatus, Iteration
from flywheel.api.model import Open
from flywheel.api.request import Input, StepRequest
from flywheel.api.result import EvaluateFigures, MeasureFigures, PrepareFigures
from flywheel.api.task import PreparedTask, Task
from flywheel.report.resources import Resources
from flywheel.statistics.measurement import CANDIDATE
from flywheel.workspace.digest import digest_bytes
from flywheel.workspace.manifest import Manifest, WrongInputError, read_manifest
from flywheel.workspace.recorded import NoRunError, Recorded, only_run, recorded_attempts, request_of
from flywheel.workspace.store import UnsafePathError, Workspace

Kind = TypeVar("Kind")
Line = TypeVar("Line", bound=Open)


class MissingError(Exception):
    """Something that the page should show is not there; the message says what and why."""


@dataclass(frozen=True)
class Run:
    """One run of a workspace."""

    workspace: Workspace
    home: str
    attempts: tuple[Recorded, ...]
    resource: FlywheelRun | None = None
    curriculum: Curriculum | None = None
    deployment: AdapterDeployment | None = None

    @property
    def name(self) -> str:
        """`namespace/name`."""
        return self.home.removeprefix("runs/").rpartition("-")[0]

    @property
    def status(self) -> FlywheelRunStatus:
        """What the operator knew of it; raises MissingError."""
        if self.resource is None:
            raise MissingError("the FlywheelRun was not given: see --resources")
        return self.resource.status

    @property
    def numbers(self) -> list[int]:
        """The iterations that are told of, on the workspace or in status, from 1."""
        return sorted({entry.iteration for entry in self.attempts if entry.iteration} | set(self._history))

    @property
    def _history(self) -> dict[int, Iteration]:
        if self.resource is None:
            return {}
        status = self.resource.status
        current = [] if status.current is None or not status.current.number else [status.current]
        return {entry.number: entry for entry in [*current, *status.history]}

    def told(self, iteration: int) -> Iteration | None:
        """What status says of an iteration."""
        return self._history.get(iteration)

    def step(self, step: str, iteration: int) -> Recorded | None:
        """The newest finished attempt of a step."""
        return next((one for one in self.attempts if (one.step, one.iteration) == (step, iteration)), None)

    def steps(self, step: str) -> list[Recorded]:
        """The same of every iteration; raises MissingError where there is none."""
        if found := [one for one in self.attempts if one.step == step]:
            return found
        raise MissingError(f"no finished {step} is on the workspace")

    def figures(self, step: str, iteration: int, kind: type[Kind]) -> Kind | None:
        """What a step reported."""
        found = self.step(step, iteration)
        return found.manifest.figures if found is not None and isinstance(found.manifest.figures, kind) else None

    def request(self, recorded: Recorded) -> StepRequest:
        """What a step was asked; raises MissingError."""
        try:
            return request_of(self.workspace, recorded)
        except WrongInputError as error:
            raise MissingError(str(error)) from error

    def read(self, folder: str, manifest: Manifest, name: str) -> bytes:
        """A file of a finished folder, as its manifest has it; raises MissingError."""
        named = next((file for file in manifest.files if file.path == name), None)
        if named is None:
            raise MissingError(f"{folder} has no {name}")
        try:
            data = self.workspace.read_bytes(f"{folder}/{name}")
        except (OSError, UnsafePathError) as error:
            raise MissingError(f"{folder}/{name} is gone") from error
        if digest_bytes(data) != named.digest:
            raise MissingError(f"{folder}/{name} differs from its manifest")
        return data

    def lines(self, recorded: Recorded, name: str, kind: type[Line]) -> list[Line]:
        """The lines of an attempt's file; raises MissingError."""
        data = self.read(recorded.folder, recorded.manifest, name)
        try:
            return [kind.model_validate_json(line) for line in data.splitlines() if line.strip()]
        except ValidationError as error:
            raise MissingError(f"{recorded.folder}/{name} has lines that are no {kind.__name__}") from error

    @cached_property
    def revision(self) -> Input:
        """The revision of the Curriculum that the steps were given; raises MissingError."""
        for entry in self.attempts:
            found = next((one for one in entry.manifest.inputs if one.name == "curriculum"), None)
            if found is not None:
                return found
        raise MissingError("no finished step names a revision of the Curriculum")

    @cached_property
    def _prepared(self) -> Manifest:
        try:
            manifest, digest = read_manifest(self.workspace, self.revision.path)
        except WrongInputError as error:
            raise MissingError(str(error)) from error
        if digest != self.revision.digest:
            raise MissingError(f"{self.revision.path} is not the revision that the run was given")
        return manifest

    @cached_property
    def task(self) -> Task:
        """The task that is learned; raises MissingError."""
        data = self.read(self.revision.path, self._prepared, "task.json")
        try:
            return PreparedTask.model_validate_json(data).task
        except ValidationError as error:
            raise MissingError(f"{self.revision.path}/task.json is not of this version") from error

    @property
    def prepared(self) -> PrepareFigures:
        """What the revision holds; raises MissingError."""
        if not isinstance(self._prepared.figures, PrepareFigures):
            raise MissingError(f"{self.revision.path} is no revision of a Curriculum")
        return self._prepared.figures

    @property
    def best(self) -> int:
        """The iteration of the best adapter on validation, as the operator chooses it; raises MissingError."""
        if self.resource is not None and self.resource.status.best is not None:
            return self.resource.status.best.iteration
        measured = {
            entry.iteration: figures.arms[CANDIDATE].accuracy
            for entry in self.attempts
            if entry.iteration and (figures := self.figures("validate", entry.iteration, MeasureFigures)) is not None
            if CANDIDATE in figures.arms
        }
        if not measured:
            raise MissingError("no adapter was measured on the validation pool")
        return max(measured, key=lambda number: (measured[number], -number))

    @property
    def control(self) -> bool:
        """Whether it was trained on seed items instead of the teacher's examples."""
        if self.resource is not None:
            return self.resource.spec.control
        asked = [self.request(entry).parameters for entry in self.attempts if entry.step == "evaluate"]
        return any(getattr(parameters, "control", False) for parameters in asked)

    @property
    def proficiencies(self) -> dict[int, int]:
        """The teacher's grade by iteration."""
        found: dict[int, int] = {}
        for number in self.numbers:
            figures, told = self.figures("evaluate", number, EvaluateFigures), self.told(number)
            grade = figures.proficiency if figures is not None else told.proficiency if told is not None else None
            if grade is not None:
                found[number] = grade
        return found


def find_run(folder: Path, name: str | None, resources: Resources) -> Run:
    """The run `namespace/name` of a workspace, or the only one. Raises NoRunError, WrongInputError."""
    workspace = Workspace(folder)
    home = only_run(workspace, name)
    attempts = recorded_attempts(workspace, home)
    if not attempts:
        raise NoRunError(f"{home} holds no finished attempt: is {folder} the workspace of that run?")
    resource = resources.run(home)
    return Run(
        workspace,
        home,
        tuple(attempts),
        resource,
        resources.curriculum_of(resource),
        resources.deployment_of(resource),
    )
