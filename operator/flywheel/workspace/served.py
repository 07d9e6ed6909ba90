"""The bucket that servers read, for publish: the sidecar brings what it holds, and puts what publish made of it.

Only the sidecar imports this. Must not know what the files mean.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flywheel.api.conditions import Reason
from flywheel.api.request import PublishParameters, StepRequest
from flywheel.api.workspace import S3
from flywheel.workspace.bucket import Access, Bucket
from flywheel.workspace.copied import Copy
from flywheel.workspace.remote import Operation, RemoteError
from flywheel.workspace.revisions import Revisions
from flywheel.workspace.staging import ForbiddenError


@contextmanager
def _of_the_target() -> Generator[None]:
    """What is wrong is wrong with the target, not with the workspace."""
    try:
        yield
    except RemoteError as error:
        reason = error.reason if error.reason is Reason.BUCKET_MISSING else Reason.TARGET_UNAVAILABLE
        raise RemoteError(reason, str(error)) from None


class Served:
    """The folder that the request names; raises RemoteError for a Secret that does not fit, ForbiddenError."""

    def __init__(self, request: StepRequest, environment: Mapping[str, str]) -> None:
        parameters = request.parameters
        if not isinstance(parameters, PublishParameters):
            raise ForbiddenError(f"step {request.step} may not reach what servers read")
        field = f"target's {'repository' if parameters.layout == 'Triton' else 'store'}.s3"
        place = S3.model_validate_json(environment["FLYWHEEL_REPOSITORY_S3"])
        with _of_the_target():
            bucket = Bucket(place, Access.of(environment, "REPOSITORY"), field=field)
        self._copy = Copy(Revisions(bucket), Path(parameters.repository_path))

    def do(self, operation: Operation) -> bool:
        """False where somebody else changed the bucket since it was brought."""
        with _of_the_target():
            if operation == "put_revision":
                return self._copy.put()
            self._copy.bring()
            return True
