"""Underpowered: the held-out items cannot show what the run asks for (SCIENCE 4). Said, never a reason to stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from flywheel.api.conditions import Reason
from flywheel.api.curriculum import PoolItems
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import FlywheelRunStatus, Gain
from flywheel.loop.finding import Finding
from flywheel.loop.gate import best_untrained
from flywheel.loop.inputs import VALIDATION_LEVEL
from flywheel.loop.openings import share_of_alpha
from flywheel.statistics.power import shown_gain


def underpowered(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> Finding | None:
    """Whether the pools are too small for what `spec.stop` asks, or the newest plateau interval tells nothing.

    None where nothing is asked or the sizes are not known.
    """
    pools = status.curriculum.pools if status.curriculum is not None else []
    shown, asked = smallest_gains(spec, pools), list(gains_asked(spec, status))
    sizes = f"{' and '.join(_can_show(*entry) for entry in shown.items())} (80 % power, 15 % of the answers differing)"
    missed = [
        f"{gain:.4f} ({field})"
        for field, gain, pools in asked
        if any(pool in shown and _beyond(shown[pool][1], gain) for pool in pools)
    ]
    unclear = _unclear(spec, status)
    if missed:
        words = f"{sizes}; {' and '.join(missed)} is asked for: take more held-out items, or ask for larger gains"
        return Finding(True, Reason.TOO_FEW_ITEMS, f"{words}; {unclear}" if unclear else words)
    if unclear:
        return Finding(True, Reason.PLATEAU_UNCLEAR, f"{unclear}; more held-out items would tell")
    return Finding(False, Reason.ENOUGH_ITEMS, f"{sizes}: enough for what is asked") if shown and asked else None


def smallest_gains(spec: FlywheelRunSpec, pools: Sequence[PoolItems]) -> dict[str, tuple[int, float | None]]:
    """Per pool its items, and the smallest gain in balanced accuracy that they can show."""
    found: dict[str, tuple[int, float | None]] = {}
    for name, level in (("validation", VALIDATION_LEVEL), ("test", 1 - share_of_alpha(spec))):
        pool = next((entry for entry in pools if entry.name == name), None)
        if pool is None or pool.items == 0:
            continue
        strata = [entry.items for entry in pool.labels] or [pool.items]
        found[name] = (pool.items, shown_gain(strata, level=float(level)))
    return found


def gains_asked(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> Iterator[tuple[str, Decimal, tuple[str, ...]]]:
    """Which field asks for which gain, and the pools that must show it."""
    if spec.stop.plateau is not None:
        yield "stop.plateau.minDelta", spec.stop.plateau.min_delta, ("validation",)
    untrained = best_untrained(status.baseline)
    if spec.stop.accuracy is not None and untrained is not None:
        gain = spec.stop.accuracy - Decimal(untrained.accuracy)
        if gain > 0:
            yield f"stop.accuracy above the untrained {untrained.name}", gain, ("validation", "test")


def _beyond(smallest: float | None, gain: Decimal) -> bool:
    return smallest is None or Decimal(smallest) > gain


def _can_show(pool: str, found: tuple[int, float | None]) -> str:
    items, gain = found
    return f"{items} {pool} items show {'no gain at all' if gain is None else f'a gain from {gain:.4f}'}"


def _unclear(spec: FlywheelRunSpec, status: FlywheelRunStatus) -> str | None:
    """In words, that the newest gain over `patience` iterations may be nothing and may be minDelta."""
    gain = _newest_patience(status)
    if spec.stop.plateau is None or gain is None:
        return None
    if not Decimal(gain.low) <= 0 <= spec.stop.plateau.min_delta <= Decimal(gain.high):
        return None
    return (
        f"the gain over {spec.stop.plateau.patience} iterations is {gain.difference} ({gain.low} to {gain.high}),"
        f" which may be nothing or minDelta {spec.stop.plateau.min_delta}: no plateau, the run goes on"
    )


def _newest_patience(status: FlywheelRunStatus) -> Gain | None:
    iterations = [*status.history, *([status.current] if status.current is not None else [])]
    newest = next((entry for entry in reversed(iterations) if entry.validation is not None), None)
    return next((gain for gain in newest.gains if gain.versus == "patience"), None) if newest is not None else None
