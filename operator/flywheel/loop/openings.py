"""How often the test pool may be opened, and what each opening costs of alpha (SCIENCE 1)."""

from __future__ import annotations

from decimal import Decimal

from flywheel.api.flywheelrun import FlywheelRunSpec, FlywheelRunStatus


def share_of_alpha(spec: FlywheelRunSpec) -> Decimal:
    """The chance of a false promotion that one opening of the test pool may take."""
    return spec.gate.alpha / spec.gate.max_test_openings


def held_out_spent(status: FlywheelRunStatus, spec: FlywheelRunSpec) -> bool:
    """Whether the test pool was opened as often as it may be."""
    return status.test_openings >= spec.gate.max_test_openings
