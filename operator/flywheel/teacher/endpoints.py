"""Endpoints beside the teacher: the judge and the models compared with. Their ledger is not the teaching steps' own.

They see held-out items, and what they reply may quote them: no Job that teaches mounts that ledger.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from flywheel.api.conditions import Reason
from flywheel.api.request import TeacherParameters
from flywheel.data.redaction import Redactor
from flywheel.teacher.asking import Nobody, RecordedLedger, Teacher
from flywheel.teacher.client import TeacherClient
from flywheel.teacher.ledger import Ledger
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError


def endpoint_for(attempt: Attempt, parameters: TeacherParameters, redactor: Redactor, variable: str) -> Teacher:
    """An endpoint whose key and hosts are in FLYWHEEL_<variable>_API_KEY and _HOSTS."""
    request = attempt.request
    folder = next(path for path in request.also_writable if path.startswith("judged/"))
    payer = f"{request.output.rpartition('/')[0]}/{variable}"
    if attempt.replaying:
        recorded = RecordedLedger(attempt.workspace, folder)
        return Teacher(parameters, Nobody(parameters), recorded, payer, request.seed, redactor)
    client = TeacherClient(parameters, f"FLYWHEEL_{variable}_API_KEY", f"FLYWHEEL_{variable}_HOSTS")
    return Teacher(parameters, client, Ledger(attempt.workspace, folder), payer, request.seed, redactor)


@contextmanager
def spoken_of(name: str, field: str) -> Generator[None]:
    """The client's errors speak of the teacher; in here they name this endpoint and its field of the spec."""

    def words(error: Exception) -> str:
        return str(error).replace("spec.teacher", field).replace("the teacher", f"the {name}")

    try:
        yield
    except TryLaterError as error:
        raise TryLaterError(words(error), error.reason) from error
    except BadInputError as error:
        changed = error.reason is Reason.TEACHER_MODEL_CHANGED
        raise BadInputError(words(error), Reason.JUDGE_MODEL_CHANGED if changed else error.reason) from error
