"""What an accepted result changes in a run's status: figures become fields, and selection is made on validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

from flywheel.api.conditions import Event, Reason
from flywheel.api.flywheelrun import FlywheelRunSpec
from flywheel.api.flywheelrun_status import (
    AcceptedStep,
    Arm,
    Best,
    Bounds,
    Candidate,
    FlywheelRunStatus,
    Gain,
    InflationGap,
    Iteration,
    Measured,
    ReplyCount,
    TestReport,
)
from flywheel.api.model import decimal_text
from flywheel.api.result import (
    Accuracy,
    AnswerFigures,
    CleanupFigures,
    Difference,
    EvaluateFigures,
    ExamFigures,
    FetchFigures,
    JudgeFigures,
    MeasureFigures,
    PreflightFigures,
    TrainFigures,
)
from flywheel.loop.attempts import Accepted
from flywheel.loop.budget import charged
from flywheel.loop.floors import floor_reports
from flywheel.loop.gate import passes
from flywheel.loop.inputs import accepted
from flywheel.loop.judging import BASE, judge_charged, judge_told, objection
from flywheel.loop.leakage import counted
from flywheel.loop.openings import opened
from flywheel.loop.serving_incumbent import serving_measured
from flywheel.loop.shortages import noted
from flywheel.loop.teacher_error import with_teacher_error
from flywheel.statistics.measurement import CANDIDATE, INCUMBENT

_MOST_RUNGS = 16


class UnexpectedResultError(ValueError):
    """A result of another step, or without its manifest: nothing that a step of ours writes."""


def accept(
    status: FlywheelRunStatus, spec: FlywheelRunSpec, step: str, outcome: Accepted
) -> tuple[FlywheelRunStatus, tuple[Event, ...]]:
    """The status after a step's result, and the events that tell of it. Raises UnexpectedResultError."""
    figures, digest, current = outcome.result.figures, outcome.result.manifest, status.current
    if figures is None or digest is None or current is None or figures.step != step:
        raise UnexpectedResultError(f"attempt {outcome.number} of step {step} has a result that is not its own")
    entry = AcceptedStep(name=figures.step, attempt=outcome.number, digest=digest)
    current = current.model_copy(update={"steps": [*current.steps, entry]})
    status = status.model_copy(update={"current": current, "attempt": None, "progress": None})
    match figures:
        case FetchFigures():
            return status, (_done(current, step, f"{figures.files} files, {figures.size / 1e9:.1f} GB"),)
        case PreflightFigures():
            return _paid(status, spec, figures), (_done(current, step, "the teacher answers"),)
        case ExamFigures():
            status = noted(counted(_paid(status, spec, figures), figures), figures)
            return status, (_done(current, step, f"{figures.questions} questions"),)
        case AnswerFigures():
            accuracy = decimal_text(figures.score.accuracy)
            status = _update_current(status, exam_accuracy=accuracy, exam_over_long=figures.score.over_long)
            bounds = Bounds(low=decimal_text(figures.score.low), high=decimal_text(figures.score.high))
            status = status.model_copy(update={"exam_accuracy": accuracy, "exam_bounds": bounds})
            words = f"accuracy {accuracy} by the teacher's key{_too_long(figures.score.over_long, 'questions')}"
            return status, (_done(current, step, words),)
        case EvaluateFigures():
            return _evaluated(status, spec, current, figures)
        case TrainFigures():
            loss = f"{figures.last_loss:.4f}"
            status = _update_current(status, adapter=figures.adapter, loss=loss, training_over_long=figures.over_long)
            words = f"{figures.steps} optimiser steps, loss {loss}{_too_long(figures.over_long, 'examples')}"
            return status, (_done(current, step, words),)
        case CleanupFigures():
            freed = f"{figures.removed} old attempts removed, {figures.freed_bytes / 1e6:.1f} MB freed"
            return status, (_done(current, step, freed),)
        case MeasureFigures(step="validate"):
            return _validated(status, current, entry, figures)
        case MeasureFigures():
            return _tested(status, spec, current, entry, figures)
        case JudgeFigures():
            return _judged(status, spec, current, figures)
        case _:
            raise UnexpectedResultError(f"{figures.step} is no step of a run")


def _update_current(status: FlywheelRunStatus, **fields: object) -> FlywheelRunStatus:
    if status.current is None:
        raise UnexpectedResultError("the run has no iteration at work")
    return status.model_copy(update={"current": status.current.model_copy(update=fields)})


def _done(current: Iteration, step: str, words: str) -> Event:
    return Event(reason=Reason.STEP_COMPLETED, message=f"iteration {current.number}: {step} done, {words}")


def _too_long(count: int, what: str) -> str:
    return f", {count} {what} did not fit the student" if count else ""


def _paid(
    status: FlywheelRunStatus, spec: FlywheelRunSpec, figures: PreflightFigures | ExamFigures | EvaluateFigures
) -> FlywheelRunStatus:
    """The status with what the teacher was paid, how its replies were read, and how wrong its labels are."""
    if not isinstance(figures, PreflightFigures):
        status = with_teacher_error(status, figures)
    counts = Counter({entry.rung: entry.count for entry in status.replies})
    counts.update(figures.replies)
    replies = [ReplyCount(rung=rung, count=count) for rung, count in sorted(counts.items())][:_MOST_RUNGS]
    update = {"usage": charged(spec, status.usage, figures.usage), "replies": replies}
    return status.model_copy(update=update | {"served_model": status.served_model or figures.served_model})


def _evaluated(
    status: FlywheelRunStatus, spec: FlywheelRunSpec, current: Iteration, figures: EvaluateFigures
) -> tuple[FlywheelRunStatus, tuple[Event, ...]]:
    gap = _inflation_gap(figures.inflation_gap)
    status = _update_current(
        status, proficiency=figures.proficiency, inflation_gap=gap, training_items=figures.training_items
    )
    status = noted(counted(_paid(status, spec, figures), figures), figures)
    status = status.model_copy(update={"proficiency": figures.proficiency, "inflation_gap": gap})
    words = f"proficiency {figures.proficiency} of 10, {figures.training_items} training examples"
    if spec.control:
        words += ", all of them seed items: this run is a control"
    if gap is not None:
        words += f", {gap.gap} ({gap.low} to {gap.high}) more right of the teacher's questions than of the anchors"
    return status, (_done(current, "evaluate", words),)


def _inflation_gap(found: Difference | None) -> InflationGap | None:
    if found is None:
        return None
    return InflationGap(gap=decimal_text(found.difference), low=decimal_text(found.low), high=decimal_text(found.high))


def _measured(arm: Accuracy, items: int) -> dict[str, object]:
    return {
        "accuracy": decimal_text(arm.accuracy),
        "low": decimal_text(arm.low),
        "high": decimal_text(arm.high),
        "items": items,
        "unparsable": arm.unparsable,
        "over_long": arm.over_long,
    }


def _arms(figures: MeasureFigures) -> list[Arm]:
    return [
        Arm.model_validate({"name": name} | _measured(arm, _items_of(name, figures)))
        for name, arm in figures.arms.items()
        if name != CANDIDATE
    ]


def _items_of(arm: str, figures: MeasureFigures) -> int:
    """How many items an arm answered: what serves may have been asked fewer."""
    return figures.serving.items if arm == INCUMBENT and figures.serving is not None else figures.items


def _gains(differences: Mapping[str, Difference], prefix: str = "") -> list[Gain]:
    return [
        Gain(
            versus=f"{prefix}{name}",
            difference=decimal_text(gain.difference),
            low=decimal_text(gain.low),
            high=decimal_text(gain.high),
        )
        for name, gain in differences.items()
    ]


def _validated(
    status: FlywheelRunStatus, current: Iteration, entry: AcceptedStep, figures: MeasureFigures
) -> tuple[FlywheelRunStatus, tuple[Event, ...]]:
    if current.number == 0:
        arms = _arms(figures)
        if not arms:
            raise UnexpectedResultError("iteration 0: validate measured no untrained student")
        words = ", ".join(f"{arm.name} {arm.accuracy}" for arm in arms)
        update = serving_measured(status, "validation", figures.serving)
        status = status.model_copy(update={"baseline": arms, "baseline_step": entry} | update)
        return status, (_done(current, "validate", f"untrained: {words}"),)
    arm = figures.arms.get(CANDIDATE)
    if arm is None or current.adapter is None:
        raise UnexpectedResultError(f"iteration {current.number}: validate measured no adapter")
    if not figures.differences:
        raise UnexpectedResultError(f"iteration {current.number}: validate compared the adapter with nothing")
    measured = Measured.model_validate(_measured(arm, figures.items))
    status = _update_current(status, validation=measured, gains=_gains(figures.differences))
    status = status.model_copy(update={"validation": measured})
    words = f"accuracy {measured.accuracy} ({measured.low} to {measured.high}, {measured.items} items)"
    events = (_done(current, "validate", words),)
    if status.best is not None and Decimal(measured.accuracy) <= Decimal(status.best.accuracy):
        return status, events
    best = Best(
        iteration=current.number,
        digest=current.adapter,
        accuracy=measured.accuracy,
        train=accepted(current, "train"),
        validated=entry,
    )
    found = Event(reason=Reason.NEW_BEST, message=f"iteration {current.number} is the best so far: {words}")
    return status.model_copy(update={"best": best}), (*events, found)


def _tested(
    status: FlywheelRunStatus, spec: FlywheelRunSpec, current: Iteration, entry: AcceptedStep, figures: MeasureFigures
) -> tuple[FlywheelRunStatus, tuple[Event, ...]]:
    arm = figures.arms.get(CANDIDATE)
    if not figures.arms and figures.openings:
        words = f"iteration {current.number} is not tested: the test pool was opened {figures.openings} times"
        status = _update_current(status, refused=True).model_copy(update=opened(status, figures))
        return status, (Event(reason=Reason.HELD_OUT_SPENT, message=words),)
    if arm is None or current.adapter is None or not figures.openings:
        raise UnexpectedResultError(f"iteration {current.number}: test measured no adapter or opened no pool")
    report = TestReport.model_validate(
        _measured(arm, figures.items)
        | {"iteration": current.number, "passed": False, "arms": _arms(figures), "gains": _gains(figures.differences)}
        | {"floors": floor_reports(spec, status, figures.recall_lows)}
        | {"blanked": _gains(figures.blanked, "blank:")}
    )
    passed = passes(spec.gate, status, report)
    update = opened(status, figures) | {"test": report} | serving_measured(status, "test", figures.serving)
    if status.first_test is None:
        update |= {"first_test": entry, "first_test_iteration": current.number}
    status = _update_current(status, tested=True).model_copy(update=update)
    if not passed:
        broken = ", ".join(f"{floor.label} ({floor.low})" for floor in report.floors if not floor.held)
        lost = f"; floors not held, by lower bound: {broken}" if broken else ""
        words = f"iteration {current.number} does not pass on the test pool ({report.accuracy}): not promoted{lost}"
        return status, (Event(reason=Reason.REJECTED, message=words),)
    if spec.evaluation is not None:
        return status, (_done(current, "test", f"{report.accuracy} on the test pool passes, the judge is asked next"),)
    return _promoted(status, current, current.adapter, report)


def _judged(
    status: FlywheelRunStatus, spec: FlywheelRunSpec, current: Iteration, figures: JudgeFigures
) -> tuple[FlywheelRunStatus, tuple[Event, ...]]:
    before = status.test
    if before is None or before.iteration != current.number or current.adapter is None:
        raise UnexpectedResultError(f"iteration {current.number}: judge measured no adapter that was tested")
    if BASE not in figures.preferences:
        raise UnexpectedResultError(f"iteration {current.number}: judge compared the adapter with nothing")
    status = judge_charged(judge_told(status, figures), spec, {**figures.usage})
    report = status.test or before
    held_back = objection(spec, report.preferences)
    if held_back is not None:
        words = f"iteration {current.number} is not promoted: {held_back}"
        return status, (Event(reason=Reason.REJECTED, message=words),)
    return _promoted(status, current, current.adapter, report)


def _promoted(
    status: FlywheelRunStatus, current: Iteration, adapter: str, report: TestReport
) -> tuple[FlywheelRunStatus, tuple[Event, ...]]:
    candidate = Candidate(
        iteration=current.number,
        digest=adapter,
        train=accepted(current, "train"),
        validated=accepted(current, "validate"),
        test=accepted(current, "test"),
    )
    update = {
        "test": report.model_copy(update={"passed": True}),
        "candidate": candidate,
        "first_candidate": status.first_candidate or candidate,
    }
    words = f"iteration {current.number} passed the gate: {report.accuracy} ({report.low} to {report.high}) on test"
    return status.model_copy(update=update), (Event(reason=Reason.CANDIDATE, message=words),)
