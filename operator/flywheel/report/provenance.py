"""Where all of it comes from: digests, revisions, model, teacher, seed, settings, versions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from flywheel.api.request import EvaluateParameters, ExamParameters, MeasureParameters, StepRequest, TrainParameters
from flywheel.api.result import EvaluateFigures, ExamFigures, PreflightFigures
from flywheel.data.tokens import Contract
from flywheel.report.blocks import Cell, Facts, Table, count, mono, text
from flywheel.report.run import MissingError, Run
from flywheel.workspace.adapter import CONTRACT, FOLDER
from flywheel.workspace.recorded import Recorded

Entries = list[tuple[str, Cell]]


def sources(run: Run) -> Facts:
    """Revision, seed, and the program that made the page."""
    entries: Entries = [
        ("Curriculum's revision", mono(run.revision.path)),
        ("Its manifest", mono(run.revision.digest)),
        ("Seed", mono(run.attempts[0].manifest.seed)),
        ("Page made by", text(f"flywheel-operator {_version()}")),
    ]
    if run.resource is not None:
        entries.append(("UID of the FlywheelRun", mono(run.resource.metadata.uid)))
    if run.curriculum is not None:
        wanted = ", ".join(f"{one.name} ({one.truth})" for one in run.curriculum.spec.sources)
        entries.append(("Sources, and who labelled them", text(wanted)))
    return Facts("Data and seed", entries)


def _version() -> str:
    try:
        return version("flywheel-operator")
    except PackageNotFoundError:  # the image holds the source alone
        return "(version unknown)"


def _asked(run: Run, step: str, place: int = -1) -> StepRequest:
    return run.request(run.steps(step)[place])


def student(run: Run) -> Facts:
    """The base model, by what measured it."""
    asked = _asked(run, "validate", 0).parameters
    if not isinstance(asked, MeasureParameters):
        raise MissingError("the first validate was asked for another step")
    entries: Entries = [("Folder of the base model", mono(asked.model_path))]
    model = run.resource.spec.student.model if run.resource is not None else None
    if model is not None and model.hub is not None:
        entries += [("Repository", mono(model.hub.repo)), ("Commit", mono(model.hub.revision))]
    return Facts("Student", entries)


def contract(run: Run) -> Facts:
    """Digests that a server compares, from the newest adapter's contract."""
    trained = run.steps("train")[-1]
    try:
        found = Contract.model_validate_json(run.read(trained.folder, trained.manifest, f"{FOLDER}/{CONTRACT}"))
    except ValueError as error:
        raise MissingError(f"{trained.folder}/{FOLDER}/{CONTRACT} is not of this version") from error
    entries: Entries = [
        ("Base model's weights", mono(found.base.weights)),
        ("Base model's configuration", mono(found.base.config)),
        ("Computed in", mono(found.base.dtype)),
        ("Tokenizer", mono(found.tokenizer)),
        ("Prompt template", mono(found.template)),
    ]
    return Facts("Contract of the adapters", entries)


def teacher(run: Run) -> Facts:
    """Who taught, as it was asked and as it answered."""
    exam, evaluated = _asked(run, "exam").parameters, _asked(run, "evaluate").parameters
    if not isinstance(exam, ExamParameters) or not isinstance(evaluated, EvaluateParameters):
        raise MissingError("exam or evaluate was asked for another step")
    answered = sorted(
        {
            figures.served_model
            for entry in run.attempts
            if isinstance(figures := entry.manifest.figures, PreflightFigures | ExamFigures | EvaluateFigures)
            and figures.served_model is not None
        }
    )
    entries: Entries = [
        ("Model", mono(exam.teacher.model)),
        ("Endpoint", mono(exam.teacher.base_url)),
        ("Answered as (digest of the name)", mono(", ".join(answered) or "unknown")),
        ("Questions, votes", text(f"{exam.questions} questions, {exam.votes} votes for each item")),
        ("Examples, replay", text(f"{evaluated.examples} examples an iteration, at most {evaluated.replay} replayed")),
    ]
    return Facts("Teacher", entries)


def settings(run: Run) -> Facts:
    """How the newest adapter was trained."""
    asked = _asked(run, "train").parameters
    if not isinstance(asked, TrainParameters):
        raise MissingError("train was asked for another step")
    length = f"{asked.epochs} epochs" if asked.epochs is not None else f"{asked.max_steps} steps"
    entries: Entries = [
        ("Length", text(f"{length}, {asked.batch_size} examples a step, order {asked.order}")),
        ("Learning rate", mono(asked.learning_rate)),
        ("LoRA", text(f"rank {asked.lora.rank}, alpha {asked.lora.alpha}, {', '.join(asked.lora.target_modules)}")),
        ("Labels shuffled (a control)", text("yes" if asked.shuffle_labels else "no")),
    ]
    return Facts("Training settings", entries)


def attempts(run: Run) -> Table:
    """The manifest of every step: `flywheel replay` repeats them."""
    rows = [
        [count(one.iteration), text(one.step), count(one.attempt), mono(one.digest), text(_accepted(run, one))]
        for one in run.attempts
    ]
    note = "Newest finished attempt of each step. Accepted: whether the operator's status names this very manifest."
    return Table("Manifests", ("Iteration", "Step", "Attempt", "Digest", "Accepted"), rows, note)


def _accepted(run: Run, one: Recorded) -> str:
    told, resource = run.told(one.iteration), run.resource
    steps = told.steps if told is not None else []
    if one.iteration == 0 and resource is not None and resource.status.baseline_step is not None:
        steps = [resource.status.baseline_step]
    named = next((step for step in steps if step.name == one.step), None)
    if named is None:
        return "status does not say"
    return "yes" if named.digest == one.digest else f"NO: status names {named.digest[:19]}"
