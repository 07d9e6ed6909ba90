"""The step prepare: sources become a revision of a Curriculum, each item in the pool of its group.

A revision is named by what it was made from: made again, it is found again.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NoReturn

from flywheel.api.conditions import Reason
from flywheel.api.item import Item
from flywheel.api.leakage import Leakage, Signatures
from flywheel.api.request import Input, PrepareParameters, Source
from flywheel.api.result import PrepareFigures, StepResult
from flywheel.api.task import PreparedTask
from flywheel.data.dedup import deduplicate, keep_apart
from flywheel.data.firewall import Firewall, compared, signatures
from flywheel.data.normalise import question_id
from flywheel.data.pools import HELD_OUT, POOLS, UNSEEN, BadRatiosError, Thresholds
from flywheel.data.schemas import TaskSchemas
from flywheel.data.sources import Placed, Reject, lines_of, read_source
from flywheel.data.truth import HOLDABLE, admit
from flywheel.steps.material import task_schemas
from flywheel.steps.parameters import parameters_of
from flywheel.workspace.digest import digest_json
from flywheel.workspace.manifest import MANIFEST, WrongInputError, check_input, read_manifest, result_of
from flywheel.workspace.program import Attempt, BadInputError, TryLaterError, log, run

SAMPLES = 20  # rejects of one reason that rejected.jsonl shows
Piles = dict[str, list[Item]]


def prepare(attempt: Attempt) -> StepResult:
    """Write `<output>/<revision>/`, or find it."""
    parameters = parameters_of(attempt, PrepareParameters)
    try:
        thresholds = Thresholds(parameters.pools_key, parameters.ratios)
    except BadRatiosError as error:
        raise BadInputError(str(error), Reason.SOURCE_REJECTED) from error
    schemas = task_schemas(parameters.task)
    revision = _revision(attempt, parameters)
    found = _finished(attempt, revision)
    if found is not None:
        log.info("revision %s was prepared before", revision)
        return found
    placed, rejects = _read(attempt, parameters.sources, schemas)
    _require_compared(parameters.leakage, placed)
    kept, left_out, held_out = _chosen(parameters, placed, thresholds)
    rejects += left_out
    piles: Piles = {pool: [] for pool in POOLS}
    for entry in kept:
        piles[thresholds.pool(entry.item.group)].append(entry.item)
    figures = _figures(parameters, revision, piles, rejects)
    _require_filled(parameters, figures)
    return _write(attempt, parameters, piles, held_out, rejects, figures)


def _chosen(
    parameters: PrepareParameters, placed: Sequence[Placed], thresholds: Thresholds
) -> tuple[list[Placed], list[Reject], Signatures]:
    """The items of the revision, the others, and the signatures of held-out items.

    Those that may be held out come first, and of the others only what does not touch them.
    """
    pool_of, leakage, label = thresholds.pool, parameters.leakage, parameters.task.label.path
    once, repeated = deduplicate((entry for entry in placed if entry.item.truth in HOLDABLE), label, pool_of)
    kept, near = keep_apart(once, leakage, pool_of)
    held_out = signatures((entry.item.input for entry in kept if pool_of(entry.item.group) in UNSEEN), leakage)
    known = {question_id(entry.item.input) for entry in kept}
    others = (entry for entry in placed if entry.item.truth not in HOLDABLE)
    admitted, refused = admit(others, pool_of, Firewall(held_out), known)
    admitted, again = deduplicate(admitted, label, pool_of)
    return [*kept, *admitted], [*repeated, *near, *refused, *again], held_out


def _revision(attempt: Attempt, parameters: PrepareParameters) -> str:
    contents: dict[str, str] = {}
    for source in parameters.sources:
        if not attempt.workspace.local(source.path).is_file():
            text = f"source {source.name}: there is no file {source.path} on the workspace: put it there"
            raise TryLaterError(text, Reason.SOURCE_MISSING)
        contents[source.name] = attempt.workspace.digest(source.path)
    # Where a file lies says nothing of what is in it.
    made_from = parameters.to_json_object()
    for source in made_from["sources"]:
        source["path"] = contents[source["name"]]
    return digest_json(made_from).removeprefix("sha256:")[:16]


def _finished(attempt: Attempt, revision: str) -> StepResult | None:
    folder = attempt.path(revision)
    if not attempt.workspace.exists(folder):
        return None
    try:
        manifest, digest = read_manifest(attempt.workspace, folder)
        check_input(attempt.workspace, Input(name="revision", path=folder, digest=digest))
    except WrongInputError as error:
        text = f"revision {revision} is damaged ({error}): remove {folder}, or restore it"
        raise BadInputError(text, Reason.REVISION_DAMAGED) from error
    return result_of(folder, manifest, digest)


def _read(attempt: Attempt, sources: Sequence[Source], schemas: TaskSchemas) -> tuple[list[Placed], list[Reject]]:
    placed: list[Placed] = []
    rejects: list[Reject] = []
    for source in sources:
        broken: list[Reject] = []
        with attempt.workspace.open(source.path) as stream:
            for entry in read_source(source, lines_of(stream), schemas):
                if isinstance(entry, Placed):
                    placed.append(entry)
                else:
                    (broken if entry.broken else rejects).append(entry)
        log.info("progress prepare source %s: %d lines rejected", source.name, len(broken))
        if len(broken) > source.max_rejected:
            _refuse(source, broken)
        rejects += broken
    return placed, rejects


def _refuse(source: Source, broken: Sequence[Reject]) -> NoReturn:
    first = broken[0]
    for reject in broken[:SAMPLES]:
        log.error("source %s line %d: %s %s", source.name, reject.line, reject.path, reject.message)
    schema = all(reject.reason in ("SchemaMismatch", "UnknownLabel") for reject in broken)
    where = f"{first.path} " if first.path else ""
    text = (
        f"source {source.name}: {len(broken)} lines rejected, {source.max_rejected} allowed; line {first.line}: "
        f"{where[:80]}{first.message}. "
    )
    advice = (
        "Mend the task's schemas or the lines, or raise maxRejected" if schema else "Mend them, or raise maxRejected"
    )
    raise BadInputError(text + advice, Reason.SCHEMA_MISMATCH if schema else Reason.SOURCE_REJECTED)


def _require_compared(leakage: Leakage, placed: Sequence[Placed]) -> None:
    """A field that no question has would compare nothing, and nobody would know."""
    for name in leakage.fields:
        if placed and not any(compared(entry.item.input, [name]).strip() for entry in placed):
            text = f"spec.leakage.fields names {name}, and no question has text there: name fields of task.inputSchema"
            raise BadInputError(text, Reason.SCHEMA_MISMATCH)


def _figures(parameters: PrepareParameters, revision: str, piles: Piles, rejects: Sequence[Reject]) -> PrepareFigures:
    path, order = parameters.task.label.path, parameters.task.label.order
    counts = {pool: Counter(str(item.output[path]) for item in items) for pool, items in piles.items()}
    return PrepareFigures(
        revision=revision,
        items={pool: len(items) for pool, items in piles.items()},
        labels={pool: [counted[label] for label in order] for pool, counted in counts.items()},
        held_out_by_rule=sum(item.truth == "Rule" for pool in HELD_OUT for item in piles[pool]),
        rejected=dict(sorted(Counter(reject.reason for reject in rejects).items())),
    )


def _require_filled(parameters: PrepareParameters, figures: PrepareFigures) -> None:
    order = parameters.task.label.order
    counts = ", ".join(f"{pool} {count}" for pool, count in figures.items.items())
    advice = "give more groups, other ratios, or another pools.key in a new Curriculum"
    # A pool with the ratio 0 is meant to be empty; without exam, curriculum or held-out items nothing can run.
    empty = [pool for pool in POOLS if not figures.items[pool] and (pool != "probe" or parameters.ratios.get(pool))]
    if empty:
        raise BadInputError(f"no item in the pools {', '.join(empty)} (items: {counts}): {advice}", Reason.POOL_EMPTY)
    for pool in HELD_OUT:
        absent = [label for label, count in zip(order, figures.labels[pool], strict=True) if not count]
        if absent:
            text = f"pool {pool} has no item labelled {', '.join(absent)} (items: {counts}): {advice}"
            raise BadInputError(text, Reason.LABEL_ABSENT)


def _write(
    attempt: Attempt,
    parameters: PrepareParameters,
    piles: Piles,
    held_out: Signatures,
    rejects: Sequence[Reject],
    figures: PrepareFigures,
) -> StepResult:
    workspace = attempt.workspace
    temporary = attempt.path(f"tmp-{figures.revision}-a{attempt.request.attempt}")
    # Only an attempt that was killed leaves one.
    shutil.rmtree(workspace.local(temporary), ignore_errors=True)
    prepared = PreparedTask(task=parameters.task, template=parameters.template)
    workspace.write_json(f"{temporary}/task.json", prepared.to_json_object())
    for pool, items in piles.items():
        workspace.write_jsonl(f"{temporary}/pools/{pool}/items.jsonl", (item.to_json_object() for item in items))
    workspace.write_json(f"{temporary}/signatures.json", held_out.to_json_object())
    workspace.write_jsonl(f"{temporary}/rejected.jsonl", (reject.to_json_object() for reject in _samples(rejects)))
    sealed = attempt.seal(figures, folder=temporary)
    folder = attempt.path(figures.revision)
    try:
        workspace.rename(temporary, folder)
    except OSError:
        # Another attempt was faster: both made the same from the same.
        if not workspace.exists(f"{folder}/{MANIFEST}"):
            raise
        shutil.rmtree(workspace.local(temporary))
        manifest, digest = read_manifest(workspace, folder)
        return result_of(folder, manifest, digest)
    return sealed.model_copy(update={"path": folder})


def _samples(rejects: Sequence[Reject]) -> list[Reject]:
    by_reason: defaultdict[str, list[Reject]] = defaultdict(list)
    for reject in rejects:
        by_reason[reject.reason].append(reject)
    return [reject for reason in sorted(by_reason) for reject in by_reason[reason][:SAMPLES]]


if __name__ == "__main__":
    run(prepare)
