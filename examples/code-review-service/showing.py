"""Which findings users see, and how likely that was: without it, what was under-rated would never be found out. Pure.

The propensity is the probability with which the finding is shown, and is recorded whether it was or not. The mean of
shown / propensity over any set of findings is 1: whoever weighs feedback by 1 / propensity estimates over all findings.
"""

from __future__ import annotations

from dataclasses import dataclass

from rating import ORDER, Severity


@dataclass(frozen=True)
class Showing:
    """Whether a finding is shown, and with which probability it would have been."""

    shown: bool
    propensity: float


def decide(severity: Severity | None, show_from: Severity, explore: float, draw: float) -> Showing:
    """`draw` is uniform in [0, 1). What was not rated is always shown."""
    if severity is None or ORDER.index(severity) <= ORDER.index(show_from):
        return Showing(shown=True, propensity=1.0)
    return Showing(shown=draw < explore, propensity=explore)
