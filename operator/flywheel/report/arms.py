"""Ways of answering, each with its interval: untrained arms, the adapter on the test pool, ablations, controls."""

from __future__ import annotations

from collections.abc import Mapping

from flywheel.api.result import Accuracy, Difference, MeasureFigures
from flywheel.report.blocks import Cell, Figure, Table, count, interval, share, text
from flywheel.report.charts import forest
from flywheel.report.progress import untrained_of, validation_of
from flywheel.report.run import MissingError, Run
from flywheel.statistics.measurement import CANDIDATE
from flywheel.workspace.recorded import Recorded, recorded_attempts, run_folders

_WORDS = {
    CANDIDATE: "the adapter",
    "base": "the bare student",
    "likelihood": "the bare student, by the likelihood of each label",
    "fewShot": "the bare student, shown examples",
    "majority": "one answer to everything",
    "bagOfWords": "a regression on word counts, no language model",
    "incumbent": "what serves, or the last candidate",
    "best": "the best adapter before",
    "patience": "the adapter of some iterations ago",
    "first": "the first adapter that passed the gate",
}


def tested_of(run: Run) -> tuple[Recorded, MeasureFigures]:
    """The newest test that opened the pool; raises MissingError."""
    for entry in reversed(run.attempts):
        figures = entry.manifest.figures
        if entry.step == "test" and isinstance(figures, MeasureFigures) and CANDIDATE in figures.arms:
            return entry, figures
    raise MissingError("no finished test is on the workspace: no adapter was put to the test pool, or it was refused")


def _level(run: Run, recorded: Recorded) -> str:
    level = getattr(run.request(recorded).parameters, "level", None)
    return f"Intervals at {float(level):.4g}." if level is not None else ""


def untrained_arms(run: Run) -> Table:
    """What there was before any training, on the validation pool."""
    rows = [_arm(name, arm) for name, arm in untrained_of(run).items()]
    return Table("Untrained, on the validation pool", _ARMS, rows)


_ARMS = ("Arm", "What it is", "Balanced accuracy", "Interval", "Unreadable answers", "Too long to ask")


def _arm(name: str, arm: Accuracy) -> list[Cell]:
    return [
        text(name),
        text(_WORDS.get(name, "")),
        share(arm.accuracy),
        interval(arm.low, arm.high),
        count(arm.unparsable),
        count(arm.over_long),
    ]


def test_arms_chart(run: Run) -> Figure:
    """All arms on the test pool."""
    recorded, figures = tested_of(run)
    rows = [
        (name, [("c1" if name == CANDIDATE else "c4", arm.accuracy, arm.low, arm.high)])
        for name, arm in _sorted(figures.arms).items()
    ]
    words = f"Arms on the test pool, {figures.items} items, iteration {recorded.iteration}"
    return Figure(words, forest(words, rows, ends=(0.0, 1.0)), _level(run, recorded))


def test_arms(run: Run) -> Table:
    """The same as a table."""
    _, figures = tested_of(run)
    rows = [_arm(name, arm) for name, arm in _sorted(figures.arms).items()]
    return Table("Arms on the test pool", _ARMS, rows)


def _sorted(arms: Mapping[str, Accuracy]) -> dict[str, Accuracy]:
    return dict(sorted(arms.items(), key=lambda arm: (arm[0] != CANDIDATE, -arm[1].accuracy, arm[0])))


def _differences(figures: MeasureFigures) -> dict[str, Difference]:
    without = {f"without {name}": fall for name, fall in sorted(figures.blanked.items())}
    return {**dict(sorted(figures.differences.items())), **without}


def differences_chart(run: Run) -> Figure:
    """The adapter minus each arm and, as an ablation, minus itself without a field of the question."""
    recorded, figures = tested_of(run)
    found = _differences(figures)
    rows = [(name, [("c1", gain.difference, gain.low, gain.high)]) for name, gain in found.items()]
    note = (
        f"{_level(run, recorded)} An interval that reaches 0 proves nothing. “without” a field: the same adapter asked"
        " with that text left empty, on a sample; where the difference is not above 0 the field is not read."
    )
    caption = "The adapter minus each arm, paired by item, on the test pool"
    return Figure(caption, forest(caption, rows), note)


def differences(run: Run) -> Table:
    """The same as a table."""
    _, figures = tested_of(run)
    rows = [
        [text(name), text(_WORDS.get(name, "")), share(gain.difference), interval(gain.low, gain.high)]
        for name, gain in _differences(figures).items()
    ]
    columns = ("The adapter minus", "What it is", "Difference", "Interval")
    return Table("The adapter minus each arm, on the test pool", columns, rows)


def floors(run: Run) -> Table:
    """Labels whose recall the gate protects."""
    test = run.status.test
    if test is None or not test.floors:
        raise MissingError("no floors of labels: spec.gate.labels names none, or no adapter was tested")
    rows = [
        [text(one.label), share(one.low), share(f"-{one.margin}"), text("held" if one.held else "not held")]
        for one in test.floors
    ]
    columns = ("Label", "Lower bound of the difference of recall", "Must be above", "Verdict")
    return Table("Floors of labels", columns, rows)


def preferences(run: Run) -> Table:
    """Whose texts a judge prefers."""
    test = run.status.test
    if test is None or not test.preferences:
        raise MissingError("no preferences of a judge: spec.evaluation names none, or no adapter was tested")
    rows = [
        [
            text(one.versus),
            *(count(n) for n in (one.items, one.wins, one.losses, one.flips, one.unjudged)),
            share(one.difference),
            interval(one.low, one.high),
            share(one.rate),
        ]
        for one in test.preferences
    ]
    columns = (
        "Against", "Items", "Wins", "Losses", "Flips", "Unjudged", "Wins minus losses", "Interval", "At equal length",
    )  # fmt: skip
    return Table("Whose texts the judge prefers, each pair in both orders", columns, rows)


def controls(run: Run) -> Table:
    """Runs of this workspace on the same revision that are the other of run and control, iteration by iteration."""
    others = [home for home in run_folders(run.workspace) if home != run.home]
    rows: list[list[Cell]] = []
    for home in others:
        other = Run(run.workspace, home, tuple(recorded_attempts(run.workspace, home)))
        if not _comparable(run, other):
            continue
        for number in other.numbers:
            mine, its = validation_of(run, number), validation_of(other, number)
            if mine is not None and its is not None:
                rows.append([text(other.name), count(number), *_measured(mine), *_measured(its)])
    if not rows:
        raise MissingError("no control on this workspace: flywheel run --local --control, or a run with spec.control")
    columns = ("Other run", "Iteration", "This run", "Interval", "The other", "Interval")
    note = "Where the intervals of an iteration overlap, it is open whether the teacher's examples added anything."
    return Table("With the teacher's examples, and with seed items alone", columns, rows, note)


def _comparable(run: Run, other: Run) -> bool:
    try:
        return bool(other.attempts) and other.revision.digest == run.revision.digest and other.control != run.control
    except MissingError:
        return False


def _measured(arm: Accuracy) -> list[Cell]:
    return [share(arm.accuracy), interval(arm.low, arm.high)]
