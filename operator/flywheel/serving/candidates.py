"""Which candidate is rolled out next. Pure.

The newest wins: that of the run created last, and of its highest iteration. A candidate older than one that was already
taken is never gone back to, so that deleting a run changes nothing that serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flywheel.api.adapterdeployment import AdapterDeploymentStatus, Revision, Rollout
from flywheel.api.curriculum import Revision as CurriculumRevision
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import Candidate
from flywheel.loop.naming import run_folder


def next_rollout(runs: Sequence[FlywheelRun], status: AdapterDeploymentStatus) -> Rollout | None:
    """The rollout to begin, or None where nothing newer than what was taken before is offered."""
    offers = [(run, run.status.candidate) for run in runs if run.status.candidate is not None]
    if not offers:
        return None
    run, candidate = max(offers, key=lambda offer: _age(offer[0], offer[1]))
    taken = [entry for entry in (status.serving, status.rollout, *status.rejected) if entry is not None]
    if any(revision.digest == candidate.digest for revision in taken):
        return None
    created, workspace, pinned = run.metadata.creation_timestamp, run.status.workspace, run.status.curriculum
    if created is None or workspace is None:
        return None
    age = (created, candidate.iteration, run.metadata.name)
    if any((revision.run_created, revision.iteration, revision.run) >= age for revision in taken):
        return None
    return Rollout(
        digest=candidate.digest,
        run=run.metadata.name,
        iteration=candidate.iteration,
        run_created=created,
        workspace=workspace,
        run_path=run_folder(run.metadata),
        train=candidate.train,
        test=candidate.test,
        curriculum=CurriculumRevision(**pinned.model_dump(exclude={"pools"})) if pinned is not None else None,
    )


def revision_of(rollout: Rollout, since: datetime) -> Revision:
    """The rollout's adapter as what serves, or as what was rejected."""
    return Revision(
        digest=rollout.digest,
        run=rollout.run,
        iteration=rollout.iteration,
        run_created=rollout.run_created,
        workspace=rollout.workspace,
        staged=rollout.staged,
        contract=rollout.contract,
        since=since,
    )


def _age(run: FlywheelRun, candidate: Candidate) -> tuple[str, int, str]:
    created = run.metadata.creation_timestamp
    return ("" if created is None else created.isoformat(), candidate.iteration, run.metadata.name)
