"""What scripted steps report: the results that real ones would, with figures that rise over the iterations."""

from __future__ import annotations

import hashlib

from flywheel.api.request import JudgeParameters, PrepareParameters, PublishParameters, StepRequest, VerifyParameters
from flywheel.api.result import (
    AbsentFigures,
    Accuracy,
    AnswerFigures,
    Difference,
    EvaluateFigures,
    ExamFigures,
    FetchFigures,
    Figures,
    JudgeFigures,
    MeasureFigures,
    Preference,
    PreflightFigures,
    PrepareFigures,
    PublishFigures,
    ServingFigures,
    Spent,
    StepError,
    StepResult,
    TrainFigures,
    Usage,
    VerifyFigures,
)


def digest(text: str) -> str:
    """A digest that differs for different texts."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def accuracy(value: float) -> Accuracy:
    """With an interval around it."""
    return Accuracy(accuracy=min(value, 1), low=min(value, 1) - 0.03, high=min(value + 0.03, 1))


def revision(generation: int) -> str:
    """Name of the revision that is prepared of this generation of a Curriculum."""
    return "abc123" if generation == 1 else f"abc123-{generation}"


def figures(request: StepRequest) -> Figures:
    """Plausible figures of a step."""
    step, number = request.step, request.iteration
    if step == "prepare":
        pools = {"exam": 100, "curriculum": 120, "validation": 300, "test": 300, "probe": 30}
        labels = request.parameters.task.label.order if isinstance(request.parameters, PrepareParameters) else []
        counts = [1_000_000 + number for number in range(len(labels))]
        return PrepareFigures(revision=revision(number), items=pools, labels=dict.fromkeys(pools, counts))
    if step == "exam":
        usage = Usage(calls=2, input_tokens=100, output_tokens=50)
        return ExamFigures(questions=20, anchors=6, voted_out=1, blind=[(25, 2, 0)] * 4, usage=usage)
    if step == "fetch":
        return FetchFigures(model=digest(f"model {request.output}"), files=5, size=10**9)
    if step == "preflight":
        return PreflightFigures(usage=Usage(calls=1, input_tokens=60, output_tokens=5))
    if step == "answer":
        return AnswerFigures(items=20, score=accuracy(0.4 + 0.1 * number))
    if step == "evaluate":
        gap = Difference(difference=0.1, low=-0.05, high=0.25)
        return EvaluateFigures(proficiency=3 + number, inflation_gap=gap, new_examples=40, training_items=40 * number)
    if step == "train":
        adapter = digest(f"adapter {request.output}")
        return TrainFigures(adapter=adapter, steps=100, first_loss=2.0, last_loss=0.5)
    if step in ("validate", "test"):
        return _measured(request, number)
    if isinstance(request.parameters, JudgeParameters):
        return _judged(request.parameters)
    if isinstance(request.parameters, PublishParameters):
        return PublishFigures(phase=request.parameters.phase, adapter=request.parameters.adapter_digest)
    if isinstance(request.parameters, VerifyParameters):
        return VerifyFigures(probes=20, agreed=dict.fromkeys(request.parameters.addresses, 20), passed=True)
    if step == "report":
        return AbsentFigures()
    raise AssertionError(f"no figures for {step}")


def _measured(request: StepRequest, number: int) -> MeasureFigures:
    step = request.parameters.step
    assert step in ("validate", "test")
    untrained = {"majority": 0.25, "bagOfWords": 0.9, "base": 0.3, "likelihood": 0.4, "fewShot": 0.35}
    arms = {name: accuracy(value) for name, value in untrained.items()}
    serving = None
    if request.input("serving") is not None:
        serving, arms["incumbent"] = ServingFigures(items=290, left_out=10, smallest=0.06), accuracy(0.45)
    if number == 0:
        return MeasureFigures(step=step, items=300, arms=arms, serving=serving)
    better = 0.4 + 0.15 * number
    versus = dict.fromkeys(("base", "likelihood", "fewShot", "incumbent", "patience"), 0.1 * number)
    differences = {
        name: Difference(difference=gain, low=gain - 0.05, high=gain + 0.05) for name, gain in versus.items()
    }
    falls = {"code": Difference(difference=0.3, low=0.2, high=0.4)} if step == "test" else {}
    opened = {"openings": number, "spent": 0.01 * number} if step == "test" else {}
    arms["candidate"] = accuracy(better)
    return MeasureFigures(
        step=step, items=300, arms=arms, differences=differences, blanked=falls, serving=serving, **opened
    )


def _judged(parameters: JudgeParameters) -> JudgeFigures:
    """A preference over every arm."""
    arms = [entry.name for entry in (*parameters.versus, *parameters.models)]
    preference = Preference(items=300, wins=90, losses=30, flips=7, unjudged=3, difference=0.2, low=0.12, high=0.28)
    spent = Spent(calls=600, input_tokens=6000, output_tokens=600)
    return JudgeFigures(
        preferences=dict.fromkeys(arms, preference),
        first_place=0.55,
        usage=dict.fromkeys(("judge", *(entry.name for entry in parameters.models)), spent),
    )


def result(request: StepRequest) -> StepResult:
    """A step that is done."""
    found = figures(request)
    if isinstance(found, AbsentFigures):
        return StepResult(figures=found)
    path = f"{request.output}/{revision(request.iteration)}" if request.step == "prepare" else request.output
    return StepResult(manifest=digest(f"manifest {path}"), path=path, figures=found)


def failure(reason: str, message: str) -> StepResult:
    """A step that is not."""
    return StepResult(error=StepError(reason=reason, message=message))
