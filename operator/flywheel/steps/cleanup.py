"""The step cleanup: removes old attempts of a run. What to keep is the plan's; here nothing is decided.

An attempt that is kept is a folder iter-<n>/<step>/a<attempt>; everything else of an old iteration goes. The ledger
and published adapters are elsewhere and not mounted.
"""

from __future__ import annotations

from flywheel.api.request import CleanupParameters
from flywheel.api.result import CleanupFigures, StepResult
from flywheel.steps.parameters import parameters_of
from flywheel.workspace.program import Attempt, BadInputError, log, run


def cleanup(attempt: Attempt) -> StepResult:
    """Removes, counts, and says what was freed. Done again after a crash it finds less to do."""
    parameters = parameters_of(attempt, CleanupParameters)
    own = attempt.request.iteration
    if parameters.through >= own:
        raise BadInputError(f"iteration {own} may not remove iteration {parameters.through}: only older ones are old")
    removed = freed = 0
    for number in range(1, parameters.through + 1):
        for step in attempt.workspace.folders(f"{parameters.home}/iter-{number}"):
            for path in attempt.workspace.folders(step):
                if path not in parameters.keep:
                    freed += attempt.workspace.remove(path)
                    removed += 1
    log.info("removed %d attempts of iterations 1 to %d, %d bytes", removed, parameters.through, freed)
    return attempt.seal(CleanupFigures(removed=removed, freed_bytes=freed))


if __name__ == "__main__":
    run(cleanup)
