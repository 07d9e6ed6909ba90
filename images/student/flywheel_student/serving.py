"""What serves from another run, asked the same held-out items: but for those of groups that it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from flywheel.api.item import Answer, Item
from flywheel.api.request import MeasureParameters
from flywheel.api.result import ServingFigures
from flywheel.data.contamination import TrainedOn, untouched
from flywheel.data.tokens import TaskTokens
from flywheel.statistics.measurement import left_for_serving
from flywheel.workspace.adapter import CARD
from flywheel.workspace.program import Attempt
from flywheel_student.arms import Sitting
from flywheel_student.contract import contract_of, differing
from flywheel_student.model import Student, model_folder

log = logging.getLogger(__name__)
Recorded = Callable[[Sequence[Item]], list[Answer] | None]


def incumbent(
    attempt: Attempt,
    parameters: MeasureParameters,
    student: Student,
    tokens: TaskTokens,
    items: Sequence[Item],
    recorded: Recorded,
) -> tuple[list[Answer], ServingFigures]:
    """Its answers, and how many items were left for it; no answers where it cannot be compared, with the obstacle."""
    adapter = attempt.workspace.local(attempt.request.required("serving").path)
    own = contract_of(tokens, model_folder(parameters.model_path), dtype="")
    if others := differing(adapter, own):
        log.warning("what serves was made under another contract (%s): it is not measured", ", ".join(others))
        return [], ServingFigures(items=0, left_out=0, obstacle="ContractDiffers")
    card = TrainedOn.model_validate_json((adapter / CARD).read_bytes())
    left = untouched(items, card)
    label = tokens.task.label.path
    figures = left_for_serving([str(item.output[label]) for item in left], len(items), level=float(parameters.level))
    if card.trained_groups is None:
        figures = figures.model_copy(update={"obstacle": "GroupsUnknown"})
    if figures.left_out:
        log.warning("what serves was trained on groups of %d of %d items", figures.left_out, len(items))
    if not left:
        return [], figures
    answers = recorded(left)
    if answers is None:
        with student.wearing(adapter) as worn:
            answers = Sitting(worn, tokens, parameters.step, parameters.batch_size).incumbent(left)
    return answers, figures
