"""What a reconcile sees when news is missing: it asks before it takes a Job for gone."""

from __future__ import annotations

from typing import Any

import pytest

from flywheel.api.curriculum import Attempt
from flywheel.controller import labels
from flywheel.controller.apply import Tools
from flywheel.controller.cache import Cache
from flywheel.controller.observe import job_views, unjudged
from flywheel.controller.resources import JOB, RUN, Resource
from flywheel.controller.settings import Settings

OWNER = {"metadata": {"name": "first", "namespace": "review", "uid": "owner", "resourceVersion": "9"}}


def job(attempt: int) -> dict[str, Any]:
    marks = {labels.OWNER_UID: "owner", labels.STEP: "exam", labels.ITERATION: "1", labels.ATTEMPT: str(attempt)}
    metadata = {
        "name": f"exam-{attempt}", "namespace": "review", "uid": str(attempt), "resourceVersion": "5", "labels": marks,
        "ownerReferences": [{"uid": "owner", "controller": True}],
    }  # fmt: skip
    return {"metadata": metadata}


class Listing:
    """An API server that has these Jobs."""

    def __init__(self, *jobs: dict[str, Any]) -> None:
        self.jobs, self.listed = jobs, 0

    def list(self, kind: Resource, namespace: str, selector: str) -> tuple[list[dict[str, Any]], int]:
        assert (kind, namespace, selector) == (JOB, "review", "flywheel.dev/owner-uid=owner")
        self.listed += 1
        return list(self.jobs), 10


@pytest.mark.parametrize(
    ("attempt", "cached", "seen", "listed"),
    [
        (Attempt(ordinal=1), [], [1], 1),  # status is ahead of the Jobs that were told of
        (Attempt(ordinal=2), [1], [1, 2], 1),
        (Attempt(ordinal=1), [1], [1], 0),
        (Attempt(ordinal=1, judged=1), [], [], 0),
        (None, [], [], 0),
    ],
)
def test_a_job_that_status_knows_is_looked_for(
    attempt: Attempt | None, cached: list[int], seen: list[int], listed: int
) -> None:
    api, cache = Listing(job(1), job(2)) if 2 in seen else Listing(job(1)), Cache()
    for number in cached:
        cache.update(JOB, job(number))
    entry = cache.update(RUN, OWNER)
    assert entry is not None
    tools: Any = Tools(api, cache, Settings({}, ""), lambda: None)  # type: ignore[arg-type]
    views = job_views(tools, entry, unjudged("exam", 1, attempt))
    assert sorted(view.attempt for view in views) == seen and api.listed == listed
