"""Sources that are objects of buckets of their own: the sidecar fetches each when prepare asks, which holds no key.

Only the sidecar imports this. Must not know what the objects hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from flywheel.api.conditions import Reason
from flywheel.api.request import PrepareParameters, StepRequest
from flywheel.workspace.bucket import Access, Bucket
from flywheel.workspace.remote import RemoteError
from flywheel.workspace.staging import ForbiddenError
from flywheel.workspace.store import Workspace

_REASONS = {
    Reason.WORKSPACE_SECRET: Reason.SOURCE_SECRET,
    Reason.WORKSPACE_KEY_REFUSED: Reason.SOURCE_KEY_REFUSED,
    Reason.WORKSPACE_UNAVAILABLE: Reason.SOURCE_UNAVAILABLE,
}


def fetch_source(request: StepRequest, here: Workspace, environment: Mapping[str, str], path: str) -> bool:
    """Write the object that the request has for a path; False where there is none. Raises RemoteError."""
    parameters = request.parameters
    for place, source in enumerate(parameters.sources if isinstance(parameters, PrepareParameters) else ()):
        if source.s3 is not None and source.path == path:
            field = f"sources[{source.name}].dataset.s3"
            try:
                bucket = Bucket(source.s3.place, Access.of(environment, f"SOURCE_{place}"), field=field)
                return bucket.get(source.s3.key, here.local(path))
            except RemoteError as error:
                reason = _REASONS.get(error.reason, error.reason)
                raise RemoteError(reason, f"source {source.name}: {error}") from None
    raise ForbiddenError(f"step {request.step} has no source {path}")
