"""How often the test pool may be opened, and what each opening costs of alpha (SCIENCE 1)."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.result import MeasureFigures

_SMALLEST = Decimal("1e-9")  # rounded down: the shares never add up to more than alpha


def share_of_alpha(spec: FlywheelRunSpec) -> Decimal:
    """The chance of a false promotion that one opening of the test pool may take."""
    return (spec.gate.alpha / spec.gate.max_test_openings).quantize(_SMALLEST, ROUND_DOWN).normalize()


def held_out_spent(status: FlywheelRunStatus, spec: FlywheelRunSpec) -> bool:
    """Whether the test pool was opened as often as it may be, or another opening would overspend alpha.

    The second matters where alpha or maxTestOpenings were changed, or other runs have others.
    """
    spent = Decimal(status.alpha_spent) + share_of_alpha(spec)
    return status.test_openings >= spec.gate.max_test_openings or spent > spec.gate.alpha


def opened(status: FlywheelRunStatus, figures: MeasureFigures) -> dict[str, object]:
    """The fields of a status that say what was opened and spent, after a test; neither ever falls."""
    spent = max(Decimal(status.alpha_spent), Decimal(f"{figures.spent:.9f}"))
    return {"test_openings": max(status.test_openings, figures.openings), "alpha_spent": f"{spent.normalize():f}"}
