"""One look at a FlywheelRun: observe, decide, add the running step's progress, apply."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.conditions import Reason
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.controller.apply import Subject, Tools, apply
from flywheel.controller.invalid import stall
from flywheel.controller.mounts import MODEL_PATH
from flywheel.controller.observe import InvalidResourceError, job_views, parse, subject_of, unjudged
from flywheel.controller.progress import ProgressReader
from flywheel.controller.resources import CURRICULUM, DEPLOYMENT, RUN
from flywheel.controller.workqueue import NEVER
from flywheel.loop.accept import UnexpectedResultError
from flywheel.loop.decide import decide_run
from flywheel.loop.observed import RunObserved
from flywheel.loop.plan import Plan

log = logging.getLogger(__name__)


def reconcile_run(tools: Tools, progress: ProgressReader, namespace: str, name: str, now: datetime) -> float | None:
    """Seconds after which to look again, None, or NEVER. Raises StaleError, ApiError."""
    entry = tools.cache.get(RUN, namespace, name)
    if entry is None:
        return NEVER
    subject = subject_of(RUN, entry)
    try:
        run = parse(FlywheelRun, entry.value)
        curriculum = _curriculum(tools, namespace, run.spec.curriculum_ref.name)
        known = unjudged(run.status.step, run.status.iteration, run.status.attempt)
        deployment = _deployment(tools, run) if run.status.curriculum is None else None
        observed = RunObserved(run, curriculum, job_views(tools, entry, known), MODEL_PATH, deployment=deployment)
        plan = decide_run(observed, now)
    except InvalidResourceError as error:
        stall(tools, subject, entry.value, Reason.SPEC_INVALID, str(error), now)
        return None
    except UnexpectedResultError as error:
        words = f"{error}: is jobs.steps[].image the right image?"
        stall(tools, subject, entry.value, Reason.STEP_FAILED, words, now)
        return None
    plan = _with_progress(plan, observed, progress, subject, now)
    return apply(tools, subject, run.status, plan, now)


def _curriculum(tools: Tools, namespace: str, name: str) -> Curriculum | None:
    entry = tools.cache.get(CURRICULUM, namespace, name)
    return parse(Curriculum, entry.value) if entry is not None else None


def _deployment(tools: Tools, run: FlywheelRun) -> AdapterDeployment | None:
    reference = run.spec.deployment_ref
    entry = tools.cache.get(DEPLOYMENT, run.metadata.namespace, reference.name) if reference is not None else None
    return parse(AdapterDeployment, entry.value) if entry is not None else None


def _with_progress(
    plan: Plan[FlywheelRunStatus], observed: RunObserved, progress: ProgressReader, subject: Subject, now: datetime
) -> Plan[FlywheelRunStatus]:
    if plan.create or plan.delete or plan.status.step is None:
        return plan
    running = [job.pod for job in observed.jobs if job.state == "Running" and not job.deleting and job.pod is not None]
    if not running:
        return plan
    pod = running[-1]
    found, again = progress.look(plan.status, subject.namespace, pod.name, pod.uid, now)
    status = plan.status if found is None else plan.status.model_copy(update={"progress": found})
    sooner = again if plan.requeue_after is None else min(again, plan.requeue_after)
    return replace(plan, status=status, requeue_after=sooner)
