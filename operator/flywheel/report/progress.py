"""Iteration by iteration: measured accuracy with its interval, and the teacher's grade beside it."""

from __future__ import annotations

from flywheel.api.result import Accuracy, AnswerFigures, MeasureFigures
from flywheel.loop.gate import UNTRAINED_ARMS
from flywheel.report.blocks import Cell, Figure, Table, count, interval, share, text
from flywheel.report.charts import line_chart
from flywheel.report.run import MissingError, Run
from flywheel.statistics.measurement import CANDIDATE

_COLUMNS = ("Iteration", "Proficiency", "Exam", "Validation", "Interval", "Above base", "Interval")


def validation_of(run: Run, iteration: int) -> Accuracy | None:
    """The adapter of an iteration on the validation pool: by its manifest or, where that was cleaned up, by status."""
    figures = run.figures("validate", iteration, MeasureFigures)
    if figures is not None:
        return figures.arms.get(CANDIDATE)
    told = run.told(iteration)
    if told is None or told.validation is None:
        return None
    measured = told.validation
    return Accuracy(accuracy=float(measured.accuracy), low=float(measured.low), high=float(measured.high))


def exam_of(run: Run, iteration: int) -> float | None:
    """The student on the exam of an iteration, by the keys of the exam."""
    figures, told = run.figures("answer", iteration, AnswerFigures), run.told(iteration)
    if figures is not None:
        return figures.score.accuracy
    return float(told.exam_accuracy) if told is not None and told.exam_accuracy is not None else None


def untrained_of(run: Run) -> dict[str, Accuracy]:
    """The untrained arms on the validation pool; raises MissingError."""
    figures = run.figures("validate", 0, MeasureFigures)
    if figures is None:
        raise MissingError("no finished validate of iteration 0 is on the workspace: the untrained student is unknown")
    return dict(figures.arms)


def accuracy_chart(run: Run) -> Figure:
    """Validation with intervals, the exam, and the best untrained arm as a level."""
    measured = [
        (float(n), found.accuracy, found.low, found.high) for n in run.numbers if (found := validation_of(run, n))
    ]
    exams = [(float(n), found, None, None) for n in run.numbers if (found := exam_of(run, n)) is not None]
    if not measured and not exams:
        raise MissingError("no iteration has been measured yet")
    chart = line_chart(
        "Accuracy by iteration",
        ("iteration", "balanced accuracy"),
        [("validation, held out", "c1", measured), ("exam of the iteration", "c2", exams)],
        (0.0, 1.0),
        rules=_levels(run),
    )
    note = (
        "Validation is held out and the same in every iteration: its bars are intervals. Each exam is another one, with"
        " keys that are mostly the teacher's, taken before the iteration's training: it proves nothing."
    )
    return Figure("Accuracy by iteration", chart, note)


def _levels(run: Run) -> list[tuple[float, str]]:
    try:
        arms = {name: arm.accuracy for name, arm in untrained_of(run).items() if name in UNTRAINED_ARMS}
    except MissingError:
        return []
    best = max(arms, key=lambda name: arms[name], default=None)
    return [] if best is None else [(arms[best], f"untrained: {best}")]


def proficiency_chart(run: Run) -> Figure:
    """The teacher's grade, 1 to 10."""
    grades = run.proficiencies
    if not grades:
        raise MissingError("the teacher has given no grade yet")
    points = [(float(number), float(grade), None, None) for number, grade in grades.items()]
    chart = line_chart(
        "Proficiency by iteration",
        ("iteration", "grade"),
        [("proficiency", "c3", points)],
        (0.0, 10.0),
        size=(720.0, 170.0),
    )
    note = "The teacher's opinion, 1 to 10. It promotes nothing: where it rises alone, believe validation."
    return Figure("Proficiency by iteration", chart, note)


def iterations(run: Run) -> Table:
    """The figures of every iteration."""
    if not run.numbers:
        raise MissingError("no iteration has begun")
    best = _best(run)
    rows = [_row(run, number, number == best) for number in run.numbers]
    return Table("Every iteration", _COLUMNS, rows, _told_only(run))


def _best(run: Run) -> int | None:
    try:
        return run.best
    except MissingError:
        return None


def _row(run: Run, number: int, best: bool) -> list[Cell]:
    validated, found = run.figures("validate", number, MeasureFigures), validation_of(run, number)
    gain = validated.differences.get("base") if validated is not None else None
    return [
        text(f"{number} (best)" if best else number),
        count(run.proficiencies.get(number)),
        share(exam_of(run, number)),
        share(found.accuracy if found is not None else None),
        interval(found.low, found.high) if found is not None else text(None),
        share(gain.difference if gain is not None else None),
        interval(gain.low, gain.high) if gain is not None else text(None),
    ]


def _told_only(run: Run) -> str:
    """Which rows are not from the workspace."""
    gone = [number for number in run.numbers if not any(entry.iteration == number for entry in run.attempts)]
    if not gone:
        return ""
    return f"Iterations {', '.join(map(str, gone))}: from status, since their files were removed (spec.retention)."
