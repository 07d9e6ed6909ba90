"""decide_curriculum(observed, now) -> Plan: prepare the current revision, and say what is wrong with the data."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flywheel.api.conditions import HELD_OUT_NOT_HUMAN, Event, Reason
from flywheel.api.curriculum import Attempt, CurriculumStatus, LabelItems, PoolItems, Rejected, Revision
from flywheel.api.curriculum import Source as SourceSpec
from flywheel.api.repository import Selection
from flywheel.api.request import PrepareParameters, Source, StepRequest
from flywheel.api.result import PrepareFigures
from flywheel.loop.accept import UnexpectedResultError
from flywheel.loop.attempts import Accepted, GaveUp, Start, Wait, advance
from flywheel.loop.finding import Finding, with_finding
from flywheel.loop.naming import curriculum_folder, job_name
from flywheel.loop.observed import CurriculumObserved, deletable
from flywheel.loop.plan import Claims, Plan, SourceVolume, StepJob
from flywheel.loop.state import State, conditions, news
from flywheel.loop.waiting import starting

CurriculumPlan = Plan[CurriculumStatus]
# Data on a volume is mended without any event: a stalled Curriculum looks again by itself.
LOOK_AGAIN_SECONDS = 300.0
FETCHED = "_fetched"  # of the pod's workspace, where its sidecar writes the objects of buckets
SOURCE_FOLDER = "/sources/{}"  # of the pod, where a source's own volume is mounted


def decide_curriculum(observed: CurriculumObserved, now: datetime) -> CurriculumPlan:
    """What to do for a Curriculum as it is observed."""
    curriculum, status = observed.curriculum, observed.curriculum.status
    generation = curriculum.metadata.generation
    if curriculum.metadata.deletion_timestamp is not None:
        return Plan(status)
    if status.prepared_generation == generation and status.revision is not None:
        return _settled(observed, status, _prepared_state(status.revision, status.pools), now)
    attempt = status.attempt or Attempt()
    old = [job for job in observed.jobs if job.iteration != generation]
    if status.observed_generation != generation:
        # A new spec deserves new attempts; ordinals go on, so that old Jobs are not taken for new ones.
        last = max([job.attempt for job in old] + [attempt.ordinal])
        attempt = Attempt(ordinal=last, judged=last)
        status = status.model_copy(update={"attempt": attempt})
    if any(job.active for job in old):
        state = State("working", Reason.CLEANING_UP, "spec changed: waiting until the old prepare Job is gone")
        return _settled(observed, status, state, now, delete=deletable(old))
    jobs = [job for job in observed.jobs if job.iteration == generation]
    outcome = advance(jobs, attempt, curriculum.spec.jobs.for_step("prepare"), now, "prepare")
    match outcome:
        case Accepted():
            return _prepared(observed, status, outcome, now)
        case Start():
            status = status.model_copy(update={"attempt": outcome.attempt})
            job = _prepare_job(observed, outcome)
            return _settled(observed, status, starting("prepare", job.name), now, create=(job,))
        case Wait():
            status = status.model_copy(update={"attempt": outcome.attempt})
            again = outcome.requeue_after
            return _settled(observed, status, outcome.state, now, delete=outcome.delete, requeue_after=again)
        case GaveUp():
            return _stalled(observed, status, outcome, now)


def _stalled(observed: CurriculumObserved, status: CurriculumStatus, outcome: GaveUp, now: datetime) -> CurriculumPlan:
    """Stalled, not failed: a Curriculum is mended by its spec or by its data."""
    retry_at = now + timedelta(seconds=LOOK_AGAIN_SECONDS)
    attempt = outcome.attempt.model_copy(
        update={
            "failures": 0,
            "disruptions": 0,
            "waits": 1,
            "retry_at": retry_at,
            "reason": outcome.state.reason.value,
            "message": outcome.state.message[:512],
        }
    )
    state = State("blocked", outcome.state.reason, f"{attempt.message}; tried again at {retry_at.isoformat()}")
    status = status.model_copy(update={"attempt": attempt})
    return _settled(observed, status, state, now, requeue_after=LOOK_AGAIN_SECONDS)


def _prepare_job(observed: CurriculumObserved, start: Start) -> StepJob:
    curriculum = observed.curriculum
    spec, generation = curriculum.spec, curriculum.metadata.generation
    home = curriculum_folder(curriculum.metadata)
    request = StepRequest(
        namespace=curriculum.metadata.namespace,
        owner=curriculum.metadata.name,
        iteration=generation,
        attempt=start.attempt.ordinal,
        output=home,
        parameters=PrepareParameters(
            task=spec.task,
            template=observed.template,
            sources=[_source(source) for source in spec.sources],
            pools_key=spec.pools.key,
            ratios=spec.pools.ratios.model_dump(),
            leakage=spec.leakage,
        ),
    )
    return StepJob(
        name=job_name(curriculum.metadata, generation, "prepare", start.attempt.ordinal),
        step="prepare",
        request=request,
        settings=spec.jobs.for_step("prepare"),
        claims=Claims(
            workspace=spec.workspace,
            sources=tuple(volume for source in spec.sources if (volume := _own_volume(source)) is not None),
        ),
        # Prepared again, the same revision is found: a lost result is had by doing the step again.
        rereads=start.rereads,
    )


def _source(source: SourceSpec) -> Source:
    """As prepare is asked for it."""
    fields: dict[str, Any] = {"name": source.name, "truth": source.truth, "group": source.group}
    volume = SOURCE_FOLDER.format(source.name) if _own_volume(source) else None
    if source.repository is not None:
        selection = Selection.model_validate(source.repository.model_dump(include=set(Selection.model_fields)))
        return Source(**fields, volume=volume, path=source.repository.path, repository=selection)
    dataset = source.dataset
    if dataset is None:
        raise ValueError(f"source {source.name} has neither dataset nor repository")
    fields |= {"format": dataset.format, "max_rejected": source.max_rejected}
    if dataset.s3 is not None:
        return Source(**fields, s3=dataset.s3, path=f"{FETCHED}/{source.name}")
    path = dataset.config_map.key if dataset.config_map is not None else dataset.path
    return Source(**fields, volume=volume, path=path or "")


def _own_volume(source: SourceSpec) -> SourceVolume | None:
    """The volume that a source has of its own; None for what lies on the workspace."""
    folder = SOURCE_FOLDER.format(source.name)
    if source.dataset is not None and source.dataset.config_map is not None:
        key = source.dataset.config_map
        return SourceVolume(folder=folder, config_map=key.name, path=key.key)
    if source.repository is not None and source.repository.persistent_volume_claim is not None:
        claim = source.repository.persistent_volume_claim.claim_name
        return SourceVolume(folder=folder, claim=claim, path=source.repository.path)
    return None


def _prepared(
    observed: CurriculumObserved, status: CurriculumStatus, outcome: Accepted, now: datetime
) -> CurriculumPlan:
    figures, result = outcome.result.figures, outcome.result
    if not isinstance(figures, PrepareFigures) or result.manifest is None:
        raise UnexpectedResultError(f"attempt {outcome.number} of prepare has a result that is not its own")
    labels = observed.curriculum.spec.task.label.order
    pools = [
        PoolItems(
            name=pool,
            items=items,
            labels=_counts(labels, figures.labels.get(pool, [])),
            units=figures.units.get(pool, 0),
        )
        for pool, items in figures.items.items()
    ]
    revision = Revision(
        name=figures.revision,
        path=f"{curriculum_folder(observed.curriculum.metadata)}/{figures.revision}",
        digest=result.manifest,
    )
    status = status.model_copy(
        update={
            "revision": revision,
            "prepared_generation": observed.curriculum.metadata.generation,
            "items": sum(figures.items.values()),
            "pools": pools,
            "rejected": [Rejected(reason=reason, lines=lines) for reason, lines in sorted(figures.rejected.items())],
            "attempt": None,
        }
    )
    generation = observed.curriculum.metadata.generation
    status = with_finding(status, HELD_OUT_NOT_HUMAN, _not_human(figures), generation, now)
    return _settled(observed, status, _prepared_state(revision, pools), now)


def _not_human(figures: PrepareFigures) -> Finding | None:
    """That a rule labelled some of what is measured on."""
    if not figures.held_out_by_rule:
        return None
    words = (
        f"{figures.held_out_by_rule} items of validation and test were labelled by a rule: accuracy says how well the"
        " student follows the rule, not whether people agree with it; add a source with truth: Human"
    )
    return Finding(True, Reason.LABELLED_BY_RULE, words)


def _prepared_state(revision: Revision, pools: list[PoolItems]) -> State:
    words = f"revision {revision.name}: " + ", ".join(f"{pool.name} {pool.items}" for pool in pools)
    return State("ready", Reason.PREPARED, words)


def _counts(labels: list[str], counts: list[int]) -> list[LabelItems]:
    return [LabelItems(label=label, items=count) for label, count in zip(labels, counts, strict=False)]


def _settled(
    observed: CurriculumObserved,
    status: CurriculumStatus,
    state: State,
    now: datetime,
    *,
    create: tuple[StepJob, ...] = (),
    delete: tuple[str, ...] = (),
    requeue_after: float | None = None,
) -> CurriculumPlan:
    generation, old = observed.curriculum.metadata.generation, observed.curriculum.status.conditions
    fresh = conditions(status.conditions, state, generation, now)
    events = news(old, state)
    if create:
        events = (Event(reason=Reason.STEP_STARTED, message=state.message),)
    update = {"conditions": fresh, "observed_generation": generation}
    return Plan(status.model_copy(update=update), create, delete, requeue_after, events)
