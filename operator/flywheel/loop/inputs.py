"""What each step of a run is asked: its request, with exactly the inputs it may read (DESIGN 5 and 7)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from flywheel.api.curriculum import Curriculum
from flywheel.api.evaluation import AskedModel
from flywheel.api.flywheelrun_status import AcceptedStep, FlywheelRunStatus, Iteration
from flywheel.api.model import duration_seconds
from flywheel.api.request import (
    AnswerParameters,
    CleanupParameters,
    ComparedModel,
    Comparison,
    EvaluateParameters,
    ExamParameters,
    FetchParameters,
    Input,
    JudgeParameters,
    MeasureParameters,
    Parameters,
    PreflightParameters,
    Redaction,
    ReportParameters,
    StepRequest,
    TeacherParameters,
    TestTerms,
    TrainParameters,
)
from flywheel.loop.budget import left
from flywheel.loop.gate import UNTRAINED_ARMS, best_untrained, further_first, has_incumbent
from flywheel.loop.judging import BASE, endpoint_left, endpoints
from flywheel.loop.naming import (
    attempt_folder,
    judged_folder,
    ledger_folder,
    model_folder,
    models_folder,
    openings_folder,
    run_folder,
)
from flywheel.loop.observed import RunObserved
from flywheel.loop.openings import share_of_alpha
from flywheel.loop.retention import expired_through, still_needed
from flywheel.loop.serving_incumbent import answered_by_serving, serving_input
from flywheel.statistics.measurement import CANDIDATE, INCUMBENT

RECORDED_PROBES = 60
BLANKED_ITEMS = 100
VALIDATION_LEVEL = Decimal("0.95")
TEACHING = ("preflight", "exam", "evaluate")


@dataclass(frozen=True)
class _Plan:
    parameters: Parameters
    inputs: list[Input]


def build_request(
    observed: RunObserved, status: FlywheelRunStatus, step: str, ordinal: int, rereads: int | None
) -> StepRequest:
    """The request of one attempt. `status` must be pinned to a Curriculum and have an iteration at work."""
    run, current = observed.run, _current(status)
    home = run_folder(run.metadata)
    if rereads is not None:
        path = attempt_folder(home, current.number, step, rereads)
        plan = _Plan(ReportParameters(attempt_path=path), [])
    else:
        plan = _STEPS[step](observed, status)
    return StepRequest(
        namespace=run.metadata.namespace,
        owner=run.metadata.name,
        iteration=current.number,
        attempt=ordinal,
        seed=run.spec.seed,
        output=attempt_folder(home, current.number, step, ordinal),
        also_writable=_also_writable(run.metadata.namespace, plan.parameters.step),
        inputs=plan.inputs,
        parameters=plan.parameters,
    )


def _also_writable(namespace: str, step: str) -> list[str]:
    if step in TEACHING:
        return [ledger_folder(namespace)]
    if step == "fetch":
        return [models_folder(namespace)]
    if step == "judge":
        return [judged_folder(namespace)]
    return [openings_folder(namespace)] if step == "test" else []


def _current(status: FlywheelRunStatus) -> Iteration:
    if status.current is None:
        raise ValueError("the run has no iteration at work")
    return status.current


def accepted(iteration: Iteration, step: str) -> AcceptedStep:
    """The accepted attempt of a step; raises KeyError when it has none."""
    for entry in iteration.steps:
        if entry.name == step:
            return entry
    raise KeyError(f"iteration {iteration.number} has no accepted {step}")


def past(status: FlywheelRunStatus, number: int) -> Iteration | None:
    """A finished iteration, while history still holds it."""
    return next((entry for entry in status.history if entry.number == number), None)


def _curriculum(status: FlywheelRunStatus, *pools: str, firewall: bool = False) -> Input:
    if status.curriculum is None:
        raise ValueError("the run is not pinned to a revision")
    parts = ["task.json", *(["signatures.json"] if firewall else []), *(f"pools/{pool}" for pool in pools)]
    return Input(name="curriculum", path=status.curriculum.path, digest=status.curriculum.digest, parts=parts)


def _of(observed: RunObserved, name: str, iteration: int, step: AcceptedStep, *parts: str) -> Input:
    folder = attempt_folder(run_folder(observed.run.metadata), iteration, step.name, step.attempt)
    return Input(name=name, path=folder, digest=step.digest, parts=list(parts))


def _teacher(observed: RunObserved, status: FlywheelRunStatus, step: str) -> TeacherParameters:
    teacher = observed.run.spec.teacher
    limits = teacher.limits
    return TeacherParameters(
        base_url=teacher.base_url,
        model=teacher.model,
        concurrency=limits.concurrency,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        call_timeout_seconds=duration_seconds(limits.call_timeout),
        allowance=left(observed.run.spec, status.usage, step),
        served_model=status.served_model,
        headers=teacher.headers,
        query=teacher.query,
        ca_bundle=teacher.ca_bundle_ref,
        proxy=teacher.proxy,
        structured_outputs=teacher.structured_outputs,
    )


def _curriculum_of(observed: RunObserved) -> Curriculum:
    if observed.curriculum is None:
        raise ValueError("the run's Curriculum is gone")
    return observed.curriculum


def _redaction(observed: RunObserved) -> Redaction:
    """As the Curriculum says now: what must not reach the teacher is not pinned."""
    spec = _curriculum_of(observed).spec
    return Redaction(redact=spec.privacy.redact, key=spec.pools.key)


def _fetch(observed: RunObserved, _status: FlywheelRunStatus) -> _Plan:
    namespace, hub = observed.run.metadata.namespace, observed.run.spec.student.model.hub
    if hub is None:
        raise ValueError("the run's model is on a claim")
    folder = model_folder(namespace, hub.repo, hub.revision)
    return _Plan(FetchParameters(repo=hub.repo, revision=hub.revision, folder=folder), [])


def _preflight(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    return _Plan(PreflightParameters(teacher=_teacher(observed, status, "preflight")), [_curriculum(status)])


def _exam(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    current = _current(status)
    inputs = [_curriculum(status, "exam", firewall=True)]
    if (before := past(status, current.number - 1)) is not None:
        inputs.append(_of(observed, "feedback", before.number, accepted(before, "evaluate"), "evaluation.json"))
    exam = observed.run.spec.exam
    parameters = ExamParameters(
        teacher=_teacher(observed, status, "exam"),
        questions=exam.questions,
        redaction=_redaction(observed),
        votes=exam.votes,
        unguarded=observed.unguarded,
    )
    return _Plan(parameters, inputs)


def _answer(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    current = _current(status)
    inputs = [_curriculum(status), _of(observed, "exam", current.number, accepted(current, "exam"), "exam.jsonl")]
    if status.best is not None:
        inputs.append(_of(observed, "adapter", status.best.iteration, status.best.train, "adapter"))
    parameters = AnswerParameters(model_path=observed.model_path, batch_size=observed.run.spec.student.batch_size)
    return _Plan(parameters, inputs)


def _evaluate(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    current, spec = _current(status), observed.run.spec
    inputs = [
        _curriculum(status, "curriculum", firewall=True),
        _of(observed, "exam", current.number, accepted(current, "exam"), "exam.jsonl"),
        _of(observed, "answer", current.number, accepted(current, "answer"), "answers.jsonl"),
    ]
    if (before := past(status, current.number - 1)) is not None:
        inputs.append(_of(observed, "previous", before.number, accepted(before, "evaluate"), "dataset.jsonl"))
    replay = _curriculum_of(observed).spec.growth.replay
    parameters = EvaluateParameters(
        teacher=_teacher(observed, status, "evaluate"),
        examples=spec.exam.examples,
        replay=replay,
        control=spec.control,
        redaction=_redaction(observed),
        votes=spec.exam.votes,
        unguarded=observed.unguarded,
    )
    return _Plan(parameters, inputs)


def _train(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    current, training = _current(status), observed.run.spec.training
    student = observed.run.spec.student
    begun = status.attempt.begun if status.attempt is not None else None
    parameters = TrainParameters(
        model_path=observed.model_path,
        base_model_name=student.served_name or student.model.name,
        epochs=training.epochs,
        max_steps=training.max_steps,
        batch_size=training.global_batch_size,
        learning_rate=training.learning_rate,
        label_weight=training.label_weight,
        lora=training.lora,
        order=_curriculum_of(observed).spec.growth.order,
        shuffle_labels=observed.shuffle_labels,
        resume=attempt_folder(run_folder(observed.run.metadata), current.number, "train", begun) if begun else None,
    )
    data = _of(observed, "data", current.number, accepted(current, "evaluate"), "train.jsonl")
    return _Plan(parameters, [_curriculum(status), data])


def _validate(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    current, spec = _current(status), observed.run.spec
    batch = spec.student.batch_size
    if current.number == 0 or status.baseline_step is None:
        parameters = MeasureParameters(
            step="validate",
            model_path=observed.model_path,
            pool="validation",
            untrained_arms=True,
            level=VALIDATION_LEVEL,
            batch_size=batch,
            preflight=spec.training.lora,
        )
        return _Plan(parameters, [_curriculum(status, "validation", "curriculum"), *serving_input(status)])
    inputs = [
        _curriculum(status, "validation"),
        _of(observed, "adapter", current.number, accepted(current, "train"), "adapter"),
        _of(observed, "baseline", 0, status.baseline_step, "answers"),
    ]
    comparisons = [Comparison(name=arm, input="baseline", arm=arm) for arm in UNTRAINED_ARMS]
    if status.candidate is not None:
        inputs.append(_of(observed, INCUMBENT, status.candidate.iteration, status.candidate.validated, "answers"))
        comparisons.append(Comparison(name=INCUMBENT, input=INCUMBENT, arm=CANDIDATE))
    elif answered_by_serving(status, "validation"):
        comparisons.append(Comparison(name=INCUMBENT, input="baseline", arm=INCUMBENT))
    patience = spec.stop.plateau.patience if spec.stop.plateau is not None else 0
    if patience and (before := past(status, current.number - patience)) is not None:
        inputs.append(_of(observed, "patience", before.number, accepted(before, "validate"), "answers"))
        comparisons.append(Comparison(name="patience", input="patience", arm=CANDIDATE))
    parameters = MeasureParameters(
        step="validate",
        model_path=observed.model_path,
        pool="validation",
        untrained_arms=False,
        comparisons=comparisons,
        level=VALIDATION_LEVEL,
        batch_size=batch,
    )
    return _Plan(parameters, inputs)


def _test(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    current, spec = _current(status), observed.run.spec
    inputs = [
        _curriculum(status, "test", "curriculum", "probe"),
        _of(observed, "adapter", current.number, accepted(current, "train"), "adapter"),
        *serving_input(status),
    ]
    comparisons: list[Comparison] = []
    if status.first_test is not None and status.first_test_iteration is not None:
        inputs.append(_of(observed, "reuse", status.first_test_iteration, status.first_test, "answers"))
    for name, other in ((INCUMBENT, status.candidate), ("first", further_first(status))):
        if other is not None:
            inputs.append(_of(observed, name, other.iteration, other.test, "answers"))
            comparisons.append(Comparison(name=name, input=name, arm=CANDIDATE))
    # Of the untrained arms the one that validation found best: declared before the test pool is opened.
    untrained = best_untrained(status.baseline)
    versus = [INCUMBENT] if has_incumbent(spec.gate, status) else [untrained.name] if untrained is not None else []
    recall_versus = [*versus, *(entry.name for entry in comparisons if entry.name not in versus)]
    parameters = MeasureParameters(
        step="test",
        model_path=observed.model_path,
        pool="test",
        untrained_arms=True,
        comparisons=comparisons,
        level=1 - share_of_alpha(spec),
        recall_versus=recall_versus,
        opening=TestTerms(
            folder=openings_folder(observed.run.metadata.namespace),
            share=share_of_alpha(spec),
            alpha=spec.gate.alpha,
            most=spec.gate.max_test_openings,
        ),
        probes=RECORDED_PROBES,
        blanked=BLANKED_ITEMS,
        batch_size=spec.student.batch_size,
    )
    return _Plan(parameters, inputs)


def _judge(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    current, spec = _current(status), observed.run.spec
    if spec.evaluation is None:
        raise ValueError("the run has no judge")
    inputs = [
        _curriculum(status, "test"),
        _of(observed, "tested", current.number, accepted(current, "test"), "answers"),
    ]
    versus = [Comparison(name=BASE, input="tested", arm="base")]
    if (other := status.candidate) is not None:
        inputs.append(_of(observed, INCUMBENT, other.iteration, other.test, "answers"))
        versus.append(Comparison(name=INCUMBENT, input=INCUMBENT, arm=CANDIDATE))
    elif has_incumbent(spec.gate, status) and answered_by_serving(status, "test"):
        versus.append(Comparison(name=INCUMBENT, input="tested", arm=INCUMBENT))
    served = status.judge.served_model if status.judge is not None else None
    (_, _, judge), *compared = endpoints(spec.evaluation)
    parameters = JudgeParameters(
        judge=_asked("judge", judge, status, served),
        versus=versus,
        models=[ComparedModel(name=name, endpoint=_asked(name, model, status)) for name, _, model in compared],
        items=spec.evaluation.judge.items,
        level=1 - share_of_alpha(spec),
        anchors=spec.evaluation.judge.anchors,
        redaction=_redaction(observed),
    )
    return _Plan(parameters, inputs)


def _asked(name: str, model: AskedModel, status: FlywheelRunStatus, served: str | None = None) -> TeacherParameters:
    limits = model.limits
    return TeacherParameters(
        base_url=model.base_url,
        model=model.model,
        concurrency=limits.concurrency,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        call_timeout_seconds=duration_seconds(limits.call_timeout),
        allowance=endpoint_left(name, model, status),
        served_model=served,
    )


def _cleanup(observed: RunObserved, status: FlywheelRunStatus) -> _Plan:
    home = run_folder(observed.run.metadata)
    through = expired_through(observed.run.spec, _current(status))
    if through is None:
        raise ValueError("nothing is old enough to be cleaned up")
    keep = [attempt_folder(home, number, step.name, step.attempt) for number, step in still_needed(status)]
    return _Plan(CleanupParameters(home=home, through=through, keep=keep), [])


_STEPS = {
    "fetch": _fetch,
    "preflight": _preflight,
    "exam": _exam,
    "answer": _answer,
    "evaluate": _evaluate,
    "train": _train,
    "validate": _validate,
    "test": _test,
    "judge": _judge,
    "cleanup": _cleanup,
}
