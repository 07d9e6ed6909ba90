"""Which files of a run are old, and which of those are still compared with or served from (DESIGN 7)."""

from __future__ import annotations

from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import AcceptedStep, FlywheelRunStatus, Iteration


def expired_through(spec: FlywheelRunSpec, current: Iteration) -> int | None:
    """The newest iteration whose files are old once `current` is finished, or None.

    The plateau looks back over `patience` iterations, which are never old.
    """
    patience = spec.stop.plateau.patience if spec.stop.plateau is not None else 0
    through = current.number - max(spec.retention.iterations, patience)
    return through if through >= 1 else None


def still_needed(status: FlywheelRunStatus) -> list[tuple[int, AcceptedStep]]:
    """Accepted attempts, with their iteration, that later steps or an AdapterDeployment read however old they are."""
    needed: list[tuple[int, AcceptedStep]] = []
    if (best := status.best) is not None:
        needed += [(best.iteration, best.train), (best.iteration, best.validated)]
    if (candidate := status.candidate) is not None:
        needed += [(candidate.iteration, step) for step in (candidate.train, candidate.validated, candidate.test)]
    if (first := status.first_candidate) is not None:
        needed.append((first.iteration, first.test))
    if status.first_test is not None and status.first_test_iteration is not None:
        needed.append((status.first_test_iteration, status.first_test))
    return needed
