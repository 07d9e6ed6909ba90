"""A step's own parameters out of its request.

Must not know what they are for.
"""

from __future__ import annotations

from typing import TypeVar

from flywheel.api.model import Closed
from flywheel.workspace.program import Attempt, BadInputError

Kind = TypeVar("Kind", bound=Closed)


def parameters_of(attempt: Attempt, kind: type[Kind]) -> Kind:
    """The request's parameters; raises BadInputError when they are another step's."""
    parameters = attempt.request.parameters
    if not isinstance(parameters, kind):
        raise BadInputError(f"the request is for the step {attempt.request.step}: run that step's program")
    return parameters
