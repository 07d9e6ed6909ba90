"""The step prepare: sources become a revision of a Curriculum, each item in the pool of its group.

A revision is named by what it was made from: made again, it is found again.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from flywheel.api.conditions import Reason
from flywheel.api.item import Item, Unit
from flywheel.api.leakage import Signatures
from flywheel.api.request import Input, PrepareParameters
from flywheel.api.result import PrepareFigures, StepResult
from flywheel.api.task import PreparedTask
from flywheel.data.dedup import deduplicate, keep_apart
from flywheel.data.firewall import Firewall, compared, signatures
from flywheel.data.near_duplicates import SKETCHES
from flywheel.data.normalise import question_id
from flywheel.data.pools import HELD_OUT, POOLS, SEEN, UNSEEN, BadRatiosError, Thresholds
from flywheel.data.repository import admit_units
from flywheel.data.sources import Placed, Reject
from flywheel.data.truth import HOLDABLE, admit
from flywheel.steps.material import task_schemas
from flywheel.steps.parameters import parameters_of
from flywheel.steps.reading import SAMPLES, digests, fetch, read_code, read_items
from flywheel.workspace.digest import digest_json
from flywheel.workspace.manifest import MANIFEST, WrongInputError, check_input, read_manifest, result_of
from flywheel.workspace.program import Attempt, BadInputError, log, run

REASONS = 8  # that figures count one by one
Piles = dict[str, list[Item]]
Heaps = dict[str, list[Unit]]


def prepare(attempt: Attempt) -> StepResult:
    """Write `<output>/<revision>/`, or find it."""
    parameters = parameters_of(attempt, PrepareParameters)
    try:
        thresholds = Thresholds(parameters.pools_key, parameters.ratios)
    except BadRatiosError as error:
        raise BadInputError(str(error), Reason.SOURCE_REJECTED) from error
    schemas = task_schemas(parameters.task)
    fetch(parameters.sources)
    contents, code = digests(attempt, parameters.sources), read_code(attempt, parameters.sources)
    revision = _revision(parameters, contents | code.digests)
    found = _finished(attempt, revision)
    if found is not None:
        log.info("revision %s was prepared before", revision)
        return found
    placed, rejects = read_items(attempt, parameters.sources, schemas)
    _require_compared(parameters, placed)
    kept, left_out, signed = _chosen(parameters, placed, thresholds)
    piles: Piles = {pool: [] for pool in POOLS}
    for entry in kept:
        piles[thresholds.pool(entry.item.group)].append(entry.item)
    held_out = [item for pool in UNSEEN for item in piles[pool]]
    units, unfit = admit_units(code.units, thresholds.pool, held_out, float(parameters.leakage.threshold))
    heap: Heaps = {pool: [] for pool in SEEN}
    for unit in units:
        heap[thresholds.pool(unit.group)].append(unit)
    rejects = [*rejects, *code.rejects, *left_out, *unfit]
    figures = _figures(parameters, revision, piles, heap, rejects)
    _require_filled(parameters, figures)
    return _write(attempt, parameters, piles, heap, signed, rejects, figures)


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


def _revision(parameters: PrepareParameters, contents: Mapping[str, str]) -> str:
    # Where a source lies says nothing of what is in it.
    made_from = parameters.to_json_object()
    made_from["sketches"] = SKETCHES
    for source in made_from["sources"]:
        source["path"] = contents[source["name"]]
        source.pop("volume", None)
        source.pop("s3", None)
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


def _require_compared(parameters: PrepareParameters, placed: Sequence[Placed]) -> None:
    """A field that no question has would compare nothing, and nobody would know."""
    named = [("leakage.fields", name) for name in parameters.leakage.fields]
    named += [("sources[].repository.field", each.repository.field) for each in parameters.sources if each.repository]
    for where, name in named:
        if placed and not any(compared(entry.item.input, [name]).strip() for entry in placed):
            text = f"spec.{where} names {name}, and no question has text there: name fields of task.inputSchema"
            raise BadInputError(text, Reason.SCHEMA_MISMATCH)


def _figures(
    parameters: PrepareParameters, revision: str, piles: Piles, heap: Heaps, rejects: Sequence[Reject]
) -> PrepareFigures:
    path, order = parameters.task.label.path, parameters.task.label.order
    counts = {pool: Counter(str(item.output[path]) for item in items) for pool, items in piles.items()}
    return PrepareFigures(
        revision=revision,
        items={pool: len(items) for pool, items in piles.items()},
        labels={pool: [counted[label] for label in order] for pool, counted in counts.items()},
        held_out_by_rule=sum(item.truth == "Rule" for pool in HELD_OUT for item in piles[pool]),
        units={pool: len(units) for pool, units in heap.items() if units},
        rejected=_counted(rejects),
    )


def _counted(rejects: Sequence[Reject]) -> dict[str, int]:
    """Counts by reason; of so many reasons that the result would have no room, the rarest as one."""
    counts = Counter(reject.reason for reject in rejects).most_common()
    shown = dict(counts[:REASONS])
    if rest := sum(count for _, count in counts[REASONS:]):
        shown["OtherReasons"] = rest
    return dict(sorted(shown.items()))


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
    heap: Heaps,
    signed: Signatures,
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
    for pool, units in heap.items():
        if units:
            workspace.write_jsonl(f"{temporary}/pools/{pool}/units.jsonl", (unit.to_json_object() for unit in units))
    workspace.write_json(f"{temporary}/signatures.json", signed.to_json_object())
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
