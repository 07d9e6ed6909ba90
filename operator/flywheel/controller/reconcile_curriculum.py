"""One look at a Curriculum: observe, decide, apply."""

from __future__ import annotations

from datetime import datetime

from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Curriculum
from flywheel.controller.apply import Tools, apply
from flywheel.controller.invalid import stall
from flywheel.controller.observe import InvalidResourceError, job_views, parse, subject_of, unjudged
from flywheel.controller.resources import CURRICULUM
from flywheel.controller.workqueue import NEVER
from flywheel.loop.accept import UnexpectedResultError
from flywheel.loop.curriculum import decide_curriculum
from flywheel.loop.observed import CurriculumObserved


def reconcile_curriculum(tools: Tools, namespace: str, name: str, now: datetime) -> float | None:
    """Seconds after which to look again, None, or NEVER. Raises StaleError, ApiError."""
    entry = tools.cache.get(CURRICULUM, namespace, name)
    if entry is None:
        return NEVER
    subject = subject_of(CURRICULUM, entry)
    try:
        curriculum = parse(Curriculum, entry.value)
    except InvalidResourceError as error:
        stall(tools, subject, entry.value, Reason.SPEC_INVALID, str(error), now)
        return None
    status = curriculum.status
    known = unjudged("prepare", status.observed_generation, status.attempt)
    observed = CurriculumObserved(curriculum, tools.settings.template, job_views(tools, entry, known))
    try:
        plan = decide_curriculum(observed, now)
    except UnexpectedResultError as error:
        words = f"{error}: is jobs.steps[].image the right image?"
        stall(tools, subject, entry.value, Reason.STEP_FAILED, words, now)
        return None
    return apply(tools, subject, curriculum.status, plan, now)
