"""Whether the label's tokens can weigh more than others (spec.training.labelWeight): there must be others."""

from __future__ import annotations

from flywheel.api.conditions import Reason
from flywheel.loop.observed import RunObserved
from flywheel.loop.state import State


def nothing_beside_label(observed: RunObserved) -> State | None:
    """Said before anything is spent: a weight of its own for the label, and answers that are only the label."""
    curriculum, weight = observed.curriculum, observed.run.spec.training.label_weight
    if weight == 1 or curriculum is None or observed.run.status.baseline_step is not None:
        return None
    if not curriculum.spec.task.label_alone:
        return None
    words = (
        f"spec.training.labelWeight is {weight}, and the answers of Curriculum {curriculum.metadata.name} hold no text"
        " beside the label: give task.outputSchema another property there, or leave labelWeight out"
    )
    return State("blocked", Reason.LABEL_ALONE, words)
