"""Repeats what code did in a finished run: parsing, curriculum and statistics, from what is on its workspace.

The teacher is its ledger, the student its recorded answers; nothing is asked and nothing there is written. Must not
know what a decision is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from flywheel.api.item import Answer, Item
from flywheel.api.model import Open
from flywheel.api.request import AnswerParameters, Input, MeasureParameters, StepRequest
from flywheel.api.result import (
    AnswerFigures,
    EvaluateFigures,
    ExamFigures,
    Figures,
    JudgeFigures,
    MeasureFigures,
    PreflightFigures,
    TrainFigures,
)
from flywheel.api.task import PreparedTask
from flywheel.data.contamination import TrainedOn, untouched
from flywheel.statistics.measurement import (
    CANDIDATE,
    INCUMBENT,
    OtherItemsError,
    left_for_serving,
    measurement,
    score,
)
from flywheel.steps.evaluate import evaluate
from flywheel.steps.exam import exam
from flywheel.steps.judge import judge
from flywheel.steps.preflight import preflight
from flywheel.teacher.ledger import NotRecordedError
from flywheel.workspace.adapter import CARD, FOLDER, BadAdapterError, adapter_digest
from flywheel.workspace.digest import canonical_json, digest_bytes
from flywheel.workspace.manifest import WrongInputError, check_input, read_manifest
from flywheel.workspace.program import (
    REQUEST,
    Attempt,
    BadInputError,
    FruitlessError,
    Step,
    TryLaterError,
)
from flywheel.workspace.recorded import Recorded, request_of
from flywheel.workspace.store import UnsafePathError, Workspace

_TEACHING: dict[str, Step] = {"preflight": preflight, "exam": exam, "evaluate": evaluate, "judge": judge}
_LEVEL = 0.95  # of the exam's answers, as the student reckons it


class DifferentError(Exception):
    """What was repeated is not what is recorded; the message says in what."""


@dataclass(frozen=True)
class Verdict:
    """What came of repeating one thing; `same` is None where it could not be repeated."""

    iteration: int
    what: str
    same: bool | None
    words: str


class _Overlay(Workspace):
    """A workspace that is read, while one folder of it, written anew, lies elsewhere."""

    def __init__(self, root: Path, scratch: Path, folder: str) -> None:
        super().__init__(root)
        self._scratch, self._folder = Workspace(scratch), folder

    def local(self, path: str) -> Path:
        own = path == self._folder or path.startswith(f"{self._folder}/")
        return self._scratch.local(path) if own else super().local(path)

    def write_bytes(self, path: str, data: bytes) -> None:
        if not path.startswith(f"{self._folder}/"):
            raise DifferentError(f"the step would write {path}, which is not its own")
        super().write_bytes(path, data)


def repeat_steps(workspace: Workspace, attempts: list[Recorded]) -> Iterator[Verdict]:
    """Each recorded attempt, repeated or, where a GPU made it, checked."""
    for recorded in attempts:
        try:
            words = _repeat(workspace, recorded)
        except (DifferentError, WrongInputError, NotRecordedError, UnsafePathError, OSError) as error:
            yield Verdict(recorded.iteration, recorded.step, False, str(error))
        except (BadInputError, FruitlessError, TryLaterError, BadAdapterError, OtherItemsError) as error:
            yield Verdict(recorded.iteration, recorded.step, False, f"repeated, it fails: {error}")
        else:
            yield Verdict(recorded.iteration, recorded.step, True, words)


def _repeat(workspace: Workspace, recorded: Recorded) -> str:
    check_input(workspace, Input(name=recorded.step, path=recorded.folder, digest=recorded.digest))
    request = request_of(workspace, recorded)
    if request.output != recorded.folder or request.step != recorded.step:
        raise DifferentError(f"{REQUEST} is that of {request.output}")
    present = Attempt(request, workspace)
    if recorded.step != "cleanup":
        present.check_inputs()
    figures = recorded.manifest.figures
    match figures:
        case PreflightFigures() | ExamFigures() | EvaluateFigures() | JudgeFigures():
            return _taught(workspace, recorded, request)
        case AnswerFigures():
            return _same(figures, _answered(present, figures), "answers as recorded; score repeated")
        case TrainFigures():
            again = figures.model_copy(update={"adapter": adapter_digest(workspace, f"{recorded.folder}/{FOLDER}")})
            return _same(figures, again, "adapter as recorded; digest repeated")
        case MeasureFigures():
            return _same(figures, _measured(present, figures), "answers as recorded; statistics repeated")
        case _:
            return "as recorded"


def _taught(workspace: Workspace, recorded: Recorded, request: StepRequest) -> str:
    """The step's own code, on the ledger, to the same manifest."""
    with TemporaryDirectory() as scratch:
        overlay = _Overlay(workspace.root, Path(scratch), recorded.folder)
        attempt = Attempt(request, overlay)
        attempt.replaying = True
        _TEACHING[recorded.step](attempt)
        again, _ = read_manifest(overlay, recorded.folder)
    again = again.model_copy(update={"figures": _as_first_paid(again.figures, recorded.manifest.figures)})
    if digest_bytes(canonical_json(again.to_json_object()) + b"\n") == recorded.digest:
        return f"repeated from the ledger, {recorded.digest[:19]}"
    before, after = ({file.path: file.digest for file in one.files} for one in (recorded.manifest, again))
    files = sorted(name for name in before | after if before.get(name) != after.get(name))
    raise DifferentError(f"repeated, {', '.join(files) or 'its figures'} differ")


def _as_first_paid(again: Figures, before: Figures) -> Figures:
    """Figures with the count of calls that were on record already: now all of them are."""
    if isinstance(again, PreflightFigures | ExamFigures | EvaluateFigures) and isinstance(before, type(again)):
        usage = again.usage.model_copy(update={"recorded": before.usage.recorded})
        return again.model_copy(update={"usage": usage})
    if isinstance(again, JudgeFigures) and isinstance(before, JudgeFigures):
        paid = {name: spent.recorded for name, spent in before.usage.items()}
        spent = {
            name: one.model_copy(update={"recorded": paid.get(name, one.recorded)}) for name, one in again.usage.items()
        }
        return again.model_copy(update={"usage": spent})
    return again


def _same(before: Open, again: Open, words: str) -> str:
    old, new = before.to_json_object(), again.to_json_object()
    if wrong := [name for name in old | new if old.get(name) != new.get(name)]:
        raise DifferentError(f"repeated, its figures differ: {', '.join(sorted(wrong))}")
    return words


def _task(attempt: Attempt) -> PreparedTask:
    try:
        return PreparedTask.model_validate(attempt.workspace.read_json(attempt.input_path("curriculum", "task.json")))
    except ValidationError as error:
        raise DifferentError("the revision's task.json is not of this version") from error


def _answers(attempt: Attempt, path: str) -> list[Answer]:
    return [Answer.model_validate(line) for line in attempt.workspace.read_jsonl(path)]


def _answered(attempt: Attempt, figures: AnswerFigures) -> AnswerFigures:
    if not isinstance(attempt.request.parameters, AnswerParameters):
        raise DifferentError(f"{REQUEST} asks for another step")
    answers = _answers(attempt, attempt.path("answers.jsonl"))
    again = score(_task(attempt).task, answers, level=_LEVEL, seed=attempt.request.seed)
    return figures.model_copy(update={"items": len(answers), "score": again})


def _measured(attempt: Attempt, figures: MeasureFigures) -> MeasureFigures:
    """All statistics of the recorded answers. How often the pool was opened is taken as recorded."""
    parameters = attempt.request.parameters
    if not isinstance(parameters, MeasureParameters):
        raise DifferentError(f"{REQUEST} asks for another step")
    if not figures.arms:
        return figures
    task = _task(attempt).task
    pool = attempt.workspace.read_jsonl(attempt.input_path("curriculum", f"pools/{parameters.pool}/items.jsonl"))
    items = [Item.model_validate(line) for line in pool]
    truth = {item.id: str(item.output[task.label.path]) for item in items}
    left = _left_for_serving(attempt, items) if figures.serving is not None and figures.serving.obstacle is None else []
    arms = {arm: _answers(attempt, attempt.path(f"answers/{arm}.jsonl")) for arm in figures.arms}
    for arm, answers in arms.items():
        asked = {item.id: truth[item.id] for item in left} if arm == INCUMBENT else truth
        if {answer.id: answer.truth for answer in answers} != asked:
            raise DifferentError(f"the answers of {arm} are not for the items of the pool {parameters.pool}")
    others = {arm: answers for arm, answers in arms.items() if arm != CANDIDATE}
    for entry in parameters.comparisons:
        others[entry.name] = _answers(attempt, attempt.input_path(entry.input, f"answers/{entry.arm}.jsonl"))
    blanked = {field: _answers(attempt, attempt.path(f"blanked/{field}.jsonl")) for field in figures.blanked}
    again = measurement(parameters, task, arms, others, blanked, len(truth), seed=attempt.request.seed)
    kept = {name: getattr(figures, name) for name in ("probes", "serving", "openings", "spent")}
    if figures.serving is not None and figures.serving.obstacle is None:
        labels = [truth[item.id] for item in left]
        kept["serving"] = left_for_serving(labels, len(truth), level=float(parameters.level))
    return again.model_copy(update=kept)


def _left_for_serving(attempt: Attempt, items: list[Item]) -> list[Item]:
    """The items of groups that what serves was not trained on."""
    card = attempt.workspace.read_json(attempt.input_path("serving", CARD))
    return untouched(items, TrainedOn.model_validate(card))
