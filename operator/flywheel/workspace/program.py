"""How every step's program begins and ends: request in, inputs checked, manifest last, result and exit code out.

Exit codes: 0 done; 64 bad input that nothing editable can mend; 75 try later; 1 anything else.
Must not know what a step does.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from flywheel.api.conditions import Reason
from flywheel.api.request import Input, PublishParameters, StepRequest
from flywheel.api.result import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_TRY_LATER,
    Figures,
    StepError,
    StepResult,
    Usage,
)
from flywheel.workspace.manifest import Manifest, WrongInputError, check_input, list_files, seal
from flywheel.workspace.remote import RemoteError, RemoteWorkspace
from flywheel.workspace.sidecar import Sidecar
from flywheel.workspace.store import UnsafePathError, Workspace
from flywheel.workspace.termination import termination
from flywheel.workspace.volumes import volume_fault

log = logging.getLogger("flywheel.step")

# What the step was asked, beside what it left: enough to repeat it.
REQUEST = "request.json"
# Written by a step while it runs; no part of its result.
SCRATCH = ("checkpoints",)
# Of an error's words as JSON: the rest of a result's bytes is for its other fields.
_MESSAGE_BYTES = 600


class BadInputError(Exception):
    """Input that no retry and no edit of the run can mend. `reason` goes into the condition."""

    def __init__(self, message: str, reason: Reason = Reason.BAD_INPUT) -> None:
        super().__init__(message)
        self.reason = reason


class TryLaterError(Exception):
    """The outside is not ready: key refused, endpoint away. `reason` goes into the condition."""

    def __init__(self, message: str, reason: Reason = Reason.TRY_LATER) -> None:
        super().__init__(message)
        self.reason = reason


class FruitlessError(Exception):
    """The attempt came to nothing, another may do better. `reason` goes into the condition."""

    def __init__(self, message: str, reason: Reason = Reason.STEP_FAILED) -> None:
        super().__init__(message)
        self.reason = reason


class Attempt:
    """One attempt at work: its request, the workspace, and checked inputs."""

    def __init__(self, request: StepRequest, workspace: Workspace) -> None:
        self.request = request
        self.workspace = workspace
        self.manifests: dict[str, Manifest] = {}
        # What a step that fails has spent nevertheless.
        self.usage: Callable[[], Usage | None] = lambda: None
        # Only what is recorded may be used: the teacher is not asked.
        self.replaying = False

    def check_inputs(self) -> None:
        """Check every input against its digest; raises WrongInputError."""
        for entry in self.request.inputs:
            self.manifests[entry.name] = check_input(self.workspace, entry)

    def input(self, name: str) -> Input | None:
        """An input, or None where the plan names none."""
        return self.request.input(name)

    def path(self, name: str) -> str:
        """Workspace path of an output file of this attempt."""
        return f"{self.request.output}/{name}"

    def input_path(self, name: str, file: str) -> str:
        """Workspace path of a file of a required input."""
        return f"{self.request.required(name).path}/{file}"

    def seal(self, figures: Figures, folder: str | None = None) -> StepResult:
        """Write the manifest over everything in the folder, last, and return the result.

        A folder that is not the attempt's own is known once it is renamed.
        """
        home = folder or self.request.output
        if home == self.request.output:
            self.workspace.write_json(self.path(REQUEST), self.request.to_json_object())
        manifest = Manifest(
            step=self.request.step,
            owner=self.request.owner,
            iteration=self.request.iteration,
            attempt=self.request.attempt,
            seed=self.request.seed,
            inputs=self.request.inputs,
            files=list_files(self.workspace, home, leave_out=SCRATCH),
            figures=figures,
        )
        result = StepResult(manifest=seal(self.workspace, home, manifest), path=home, figures=figures)
        if folder is None:
            try:
                self.workspace.commit(home)
            except FileExistsError as error:
                raise FruitlessError(f"another pod has finished this attempt, differently: {home}") from error
        return result


Step = Callable[[Attempt], StepResult]


def run(step: Step) -> None:
    """Run a step as a program and exit with its code; the one entry point of every step's pod."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    termination.listen()
    code, result = _outcome(step)
    log_file = Path(os.environ.get("FLYWHEEL_TERMINATION_LOG", "/dev/termination-log"))
    log_file.write_bytes(result.to_message().encode())
    sys.exit(code)


def _outcome(step: Step) -> tuple[int, StepResult]:
    try:
        request = StepRequest.model_validate_json(os.environ["FLYWHEEL_REQUEST"])
    except (KeyError, ValidationError) as error:
        log.error("FLYWHEEL_REQUEST is missing or not a request: %s", error)
        return EXIT_BAD_INPUT, _failure(
            Reason.BAD_INPUT, "FLYWHEEL_REQUEST is missing or not a request of this version"
        )
    attempt = Attempt(request, _workspace(request))
    log.info("step=%s iteration=%d attempt=%d begins", request.step, request.iteration, request.attempt)
    try:
        attempt.workspace.begin()
        attempt.check_inputs()
        result = step(attempt)
        result.to_message()  # one that is too long is a failure like any other, with a result of its own
        log.info("step=%s ends, manifest %s", request.step, result.manifest)
        return EXIT_DONE, result
    except BadInputError as error:
        log.error("%s", error)
        return EXIT_BAD_INPUT, _failure(error.reason, str(error), attempt.usage())
    except (WrongInputError, UnsafePathError) as error:
        log.error("%s", error)
        return EXIT_BAD_INPUT, _failure(Reason.BAD_INPUT, str(error))
    except (TryLaterError, RemoteError) as error:
        log.warning("%s", error)
        return EXIT_TRY_LATER, _failure(error.reason, str(error))
    except FruitlessError as error:
        log.error("%s", error)
        return EXIT_FAILED, _failure(error.reason, str(error), attempt.usage())
    except MemoryError as error:
        log.error("out of memory: %s", error)
        return EXIT_FAILED, _failure(Reason.OUT_OF_MEMORY, "the step ran out of memory")
    except Exception as error:  # noqa: BLE001 - the last line of the program: everything becomes a result and a log
        traceback.print_exc()
        if (fault := volume_fault(error, _volumes(attempt))) is not None:
            return EXIT_TRY_LATER, _failure(*fault)
        # The text may quote data or a server: only the class leaves the pod, the log has the rest.
        return EXIT_FAILED, _failure(Reason.STEP_FAILED, f"{type(error).__name__}: see the log of the step's pod")


def _workspace(request: StepRequest) -> Workspace:
    root, sidecar = os.environ.get("FLYWHEEL_WORKSPACE", "/workspace"), os.environ.get("FLYWHEEL_SIDECAR")
    return Workspace(root) if sidecar is None else RemoteWorkspace(root, request, Sidecar(Path(sidecar)))


def _volumes(attempt: Attempt) -> tuple[Path, ...]:
    """The claims' folders that the step may write."""
    parameters = attempt.request.parameters
    repository = (Path(parameters.repository_path),) if isinstance(parameters, PublishParameters) else ()
    return (attempt.workspace.root, *repository)


def _failure(reason: Reason, message: str, usage: Usage | None = None) -> StepResult:
    text = message[:400].encode(errors="replace").decode()
    while len(json.dumps(text, ensure_ascii=False).encode()) > _MESSAGE_BYTES:
        text = text[:-1]
    return StepResult(error=StepError(reason=reason[:64], message=text, usage=usage))
