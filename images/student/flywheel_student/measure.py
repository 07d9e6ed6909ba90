"""Steps validate and test: every arm answers the same held-out items, and the candidate is compared with each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from flywheel.api.item import Answer, Item, Probe
from flywheel.api.request import MeasureParameters
from flywheel.api.result import MeasureFigures, ServingFigures, StepResult
from flywheel.api.task import PreparedTask, Task
from flywheel.statistics.measurement import CANDIDATE, INCUMBENT, OtherItemsError, measurement
from flywheel.workspace.openings import open_test_pool
from flywheel.workspace.program import Attempt, BadInputError, run
from flywheel_student.blanking import sampled, text_fields

if TYPE_CHECKING:
    from flywheel_student.arms import Sitting

log = logging.getLogger(__name__)


def measure(attempt: Attempt) -> StepResult:
    """answers/<arm>.jsonl for every arm, blanked/<field>.jsonl and probes.jsonl where asked for, and figures."""
    parameters = attempt.request.parameters
    if not isinstance(parameters, MeasureParameters):
        raise BadInputError(f"this program does not know the step {attempt.request.step}")
    prepared = PreparedTask.model_validate(attempt.workspace.read_json(attempt.input_path("curriculum", "task.json")))
    items = _pool(attempt, parameters.pool)
    terms = parameters.opening
    opened = open_test_pool(attempt.workspace, attempt.request, terms, [item.id for item in items]) if terms else None
    if opened is not None and not opened.allowed:
        log.warning("test pool opened %d times, %s of alpha spent: no test", opened.openings, opened.spent)
        spent = float(opened.spent)
        refusal = MeasureFigures(step="test", items=len(items), arms={}, openings=opened.openings, spent=spent)
        return attempt.seal(refusal)

    # Torch takes seconds to import: bad input is refused before.
    from flywheel_student.arms import Sitting
    from flywheel_student.opening import open_student
    from flywheel_student.preflight import check_lengths, check_targets
    from flywheel_student.serving import incumbent

    student, tokens = open_student(attempt, prepared, parameters.model_path)
    if (wanted := parameters.preflight) is not None:
        check_targets(wanted, student.linear)
        check_lengths(tokens, [*items, *_pool(attempt, "curriculum")], student.context)
    sitting = Sitting(student, tokens, parameters.step, parameters.batch_size)
    arms: dict[str, list[Answer]] = {}
    if attempt.input("adapter") is not None:
        arms[CANDIDATE] = sitting.candidate(items)
    if parameters.untrained_arms:
        arms |= _untrained(attempt, sitting, items)
    serving: ServingFigures | None = None
    if attempt.input("serving") is not None:
        again = partial(_earlier, attempt, INCUMBENT)
        answers, serving = incumbent(attempt, parameters, student, tokens, items, again)
        arms |= {INCUMBENT: answers} if answers else {}
    for arm, answers in arms.items():
        _write(attempt, f"answers/{arm}.jsonl", answers)
    blanked = _blanked(attempt, sitting, prepared.task, items, parameters.blanked) if CANDIDATE in arms else {}
    for field, answers in blanked.items():
        _write(attempt, f"blanked/{field}.jsonl", answers)
    probes = _probes(attempt, sitting, parameters.probes) if CANDIDATE in arms and parameters.probes else []
    if parameters.probes:  # also where there are none: publish names the file
        attempt.workspace.write_jsonl(attempt.path("probes.jsonl"), [probe.to_json_object() for probe in probes])

    others = _others(attempt, parameters, arms) if CANDIDATE in arms else {}
    try:
        figures = measurement(parameters, prepared.task, arms, others, blanked, len(items), seed=attempt.request.seed)
    except OtherItemsError as error:
        raise BadInputError(str(error)) from error
    spent = {"openings": opened.openings, "spent": float(opened.spent)} if opened else {}
    return attempt.seal(figures.model_copy(update={"probes": len(probes), "serving": serving, **spent}))


def _pool(attempt: Attempt, pool: str) -> list[Item]:
    lines = attempt.workspace.read_jsonl(attempt.input_path("curriculum", f"pools/{pool}/items.jsonl"))
    items = [Item.model_validate(line) for line in lines]
    if not items:
        raise BadInputError(
            f"the pool {pool} has no items: give the Curriculum more groups or a larger ratio", "EmptyPool"
        )
    return items


def _untrained(attempt: Attempt, sitting: Sitting, items: Sequence[Item]) -> dict[str, list[Answer]]:
    """Arms that no training changes; an earlier test of the same items has them already."""
    from flywheel_student.arms import UNTRAINED

    arms: dict[str, list[Answer]] = {}
    pool = _pool(attempt, "curriculum")
    for arm in UNTRAINED:
        earlier = _earlier(attempt, arm, items)
        arms[arm] = sitting.untrained(arm, items, pool) if earlier is None else earlier
    return arms


def _earlier(attempt: Attempt, arm: str, items: Sequence[Item]) -> list[Answer] | None:
    """An arm's answers in an earlier measurement of the same items."""
    found = _recorded(attempt, "reuse", arm) if attempt.input("reuse") is not None else []
    if {answer.id for answer in found} != {item.id for item in items}:
        return None
    log.info("arm %s: answers of an earlier measurement are used again", arm)
    return found


def _recorded(attempt: Attempt, name: str, arm: str) -> list[Answer]:
    path = attempt.input_path(name, f"answers/{arm}.jsonl")
    if not attempt.workspace.exists(path):
        return []
    return [Answer.model_validate(line) for line in attempt.workspace.read_jsonl(path)]


def _others(attempt: Attempt, parameters: MeasureParameters, arms: dict[str, list[Answer]]) -> dict[str, list[Answer]]:
    """Every arm here that is not the candidate, and the recorded arms that the plan names."""
    others = {arm: answers for arm, answers in arms.items() if arm != CANDIDATE}
    for comparison in parameters.comparisons:
        others[comparison.name] = _recorded(attempt, comparison.input, comparison.arm)
    return others


def _blanked(
    attempt: Attempt, sitting: Sitting, task: Task, items: Sequence[Item], most: int
) -> dict[str, list[Answer]]:
    """By field, the candidate's answers to the same sample of the items without it."""
    sample = sampled(items, most, attempt.request.seed)
    return {field: sitting.blanked(field, sample) for field in text_fields(task, sample)}


def _probes(attempt: Attempt, sitting: Sitting, most: int) -> list[Probe]:
    """Items of the probe pool on which base and candidate disagree: what a server is recognised by."""
    items = _pool(attempt, "probe")
    candidate, base = sitting.candidate(items), sitting.untrained("base", items, [])
    pairs = zip(items, candidate, base, strict=True)
    found = [
        Probe(
            id=item.id,
            input=item.input,
            candidate=new.label,
            base=old.label,
            prompt=sitting.prompt(item),
        )
        for item, new, old in pairs
        if new.label is not None and new.label != old.label
    ]
    return found[:most]


def _write(attempt: Attempt, name: str, answers: Sequence[Answer]) -> None:
    attempt.workspace.write_jsonl(attempt.path(name), [answer.to_json_object() for answer in answers])


if __name__ == "__main__":
    run(measure)
