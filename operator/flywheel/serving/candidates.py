"""What is wanted in service next. Pure.

Without a pin the newest candidate wins: that of the run created last, and of its highest iteration. A candidate older
than one that was already taken is never gone back to, so that deleting a run changes nothing that serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flywheel.api.adapterdeployment import (
    AdapterDeploymentSpec,
    AdapterDeploymentStatus,
    Revision,
    Rollout,
    Taken,
)
from flywheel.api.curriculum import Revision as CurriculumRevision
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import Candidate
from flywheel.api.target import BASE
from flywheel.loop.naming import run_folder
from flywheel.serving.names import short


class PinError(Exception):
    """What is pinned cannot be served: why, and what to do."""


def newest(runs: Sequence[FlywheelRun], status: AdapterDeploymentStatus) -> Rollout | None:
    """The candidate to roll out, or None where nothing newer than what was taken before is offered."""
    offers = [(run, run.status.candidate) for run in runs if run.status.candidate is not None]
    if not offers:
        return None
    run, candidate = max(offers, key=lambda offer: _age(offer[0], offer[1]))
    created = run.metadata.creation_timestamp
    if created is None:
        return None
    # The bare student is as old as nothing.
    known = (status.serving, status.rollout, *status.rejected)
    taken = [entry for entry in known if entry is not None and entry.digest != BASE]
    if any(revision.digest == candidate.digest for revision in taken):
        return None
    age = (created, candidate.iteration, run.metadata.name)
    if any((revision.run_created, revision.iteration, revision.run) >= age for revision in taken):
        return None
    return _offered(run, candidate)


def pinned(pin: str, runs: Sequence[FlywheelRun], status: AdapterDeploymentStatus) -> Rollout | None:
    """The rollout that brings what is pinned, or None where it serves, or is on its way. Raises PinError."""
    at_work = status.rollout or status.serving
    if at_work is not None and at_work.digest == pin:
        return None
    if any(entry.digest == pin for entry in status.rejected):
        raise PinError(f"spec.pin names {short(pin)}, which was rejected: see status.rejected, and pin another")
    known = [entry for entry in (status.serving, *status.previous) if entry is not None]
    if pin == BASE:
        adapter = next((entry for entry in known if entry.digest != BASE), None)
        if adapter is None:
            raise PinError("spec.pin is Base: no adapter served yet whose contract says how the student is asked")
        return again(adapter, digest=BASE)
    if (revision := next((entry for entry in known if entry.digest == pin), None)) is not None:
        return again(revision)
    for run in runs:
        if run.status.candidate is not None and run.status.candidate.digest == pin:
            return _offered(run, run.status.candidate)
    raise PinError(f"spec.pin names {short(pin)}, which is neither in status.previous nor the candidate of a run here")


def unapproved(spec: AdapterDeploymentSpec, rollout: Rollout) -> bool:
    """Whether a candidate waits for a person. What is pinned, or served before, was approved by that."""
    if spec.pin is not None or rollout.train is None:
        return False
    return spec.approval == "Manual" and spec.approved_digest != rollout.digest


def again(revision: Revision, digest: str | None = None) -> Rollout:
    """A rollout of what was published before, or of Base with its contract."""
    taken: dict[str, Any] = {name: getattr(revision, name) for name in Taken.model_fields}
    if digest is not None:
        taken |= {"digest": digest, "contract": revision.adapter}
    return Rollout(**taken)


def revision_of(rollout: Rollout, since: datetime) -> Revision:
    """The rollout's adapter as what serves, waits, or was rejected."""
    return Revision(**{name: getattr(rollout, name) for name in Taken.model_fields}, since=since)


def before(status: AdapterDeploymentStatus, rollout: Rollout) -> list[Revision]:
    """What served before a rollout, the latest first: what a pin can go back to. The bare student needs no place."""
    known = [entry for entry in (status.serving, *status.previous) if entry is not None]
    return [entry for entry in known if entry.digest not in (rollout.digest, BASE)]


def _offered(run: FlywheelRun, candidate: Candidate) -> Rollout | None:
    created, workspace, taught = run.metadata.creation_timestamp, run.status.workspace, run.status.curriculum
    if created is None or workspace is None:
        return None
    return Rollout(
        digest=candidate.digest,
        run=run.metadata.name,
        iteration=candidate.iteration,
        run_created=created,
        workspace=workspace,
        run_path=run_folder(run.metadata),
        train=candidate.train,
        validated=candidate.validated,
        test=candidate.test,
        curriculum=CurriculumRevision(**taught.model_dump(exclude={"pools"})) if taught is not None else None,
    )


def _age(run: FlywheelRun, candidate: Candidate) -> tuple[str, int, str]:
    created = run.metadata.creation_timestamp
    return ("" if created is None else created.isoformat(), candidate.iteration, run.metadata.name)
