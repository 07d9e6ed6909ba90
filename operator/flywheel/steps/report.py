"""The step report: reads an attempt's result again from its manifest, when its termination message was lost.

What is not finished, or differs from its manifest, counts as nothing: the operator then makes another attempt.
"""

from __future__ import annotations

from flywheel.api.request import Input, ReportParameters
from flywheel.api.result import AbsentFigures, StepResult
from flywheel.steps.parameters import parameters_of
from flywheel.workspace.manifest import WrongInputError, check_input, read_manifest, result_of
from flywheel.workspace.program import Attempt, log, run


def report(attempt: Attempt) -> StepResult:
    """The result of the attempt at `attemptPath`."""
    parameters = parameters_of(attempt, ReportParameters)
    folder = parameters.attempt_path
    try:
        manifest, digest = read_manifest(attempt.workspace, folder)
        check_input(attempt.workspace, Input(name="attempt", path=folder, digest=digest))
    except WrongInputError as error:
        log.warning("nothing to report: %s", error)
        return StepResult(figures=AbsentFigures())
    return result_of(folder, manifest, digest)


if __name__ == "__main__":
    run(report)
