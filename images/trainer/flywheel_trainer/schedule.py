"""Learning rate over a training: a short linear warm-up, then a cosine down to zero. Pure."""

from __future__ import annotations

import math

_WARM_UP = 0.05


def share_of_peak(step: int, steps: int) -> float:
    """The learning rate of a step (from 0) as a share of the peak."""
    warm_up = max(1, round(steps * _WARM_UP))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
