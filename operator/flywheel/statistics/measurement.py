"""Answer lines to figures: balanced accuracy of an arm, paired difference of two, and all of a measurement.

The student image reckons with it, and `flywheel replay` reckons again. Must not know who answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from flywheel.api.item import Answer
from flywheel.api.request import MeasureParameters
from flywheel.api.result import Accuracy, Difference, MeasureFigures, ServingFigures
from flywheel.api.task import Task
from flywheel.statistics.confusion import Confusion
from flywheel.statistics.intervals import balanced_accuracy
from flywheel.statistics.paired import balanced_accuracy_difference, recall_differences
from flywheel.statistics.power import shown_gain

CANDIDATE = "candidate"
# The run's last candidate or, before it has one, what serves from another run: that may have answered fewer items.
INCUMBENT = "incumbent"


class OtherItemsError(ValueError):
    """Two arms that did not answer the same items."""


def measurement(
    parameters: MeasureParameters,
    task: Task,
    arms: Mapping[str, Sequence[Answer]],
    others: Mapping[str, Sequence[Answer]],
    blanked: Mapping[str, Sequence[Answer]],
    items: int,
    *,
    seed: int,
) -> MeasureFigures:
    """The figures of all arms, and of the candidate against each other one and against itself without a field.

    Raises OtherItemsError.
    """
    level = float(parameters.level)
    differences: dict[str, Difference] = {}
    recall_lows: list[float] = []
    falls: dict[str, Difference] = {}
    if CANDIDATE in arms:
        found = arms[CANDIDATE]
        differences = {
            name: difference(_over(found, other) if name == INCUMBENT else found, other, name, level=level, seed=seed)
            for name, other in others.items()
        }
        compared = [others[name] for name in parameters.recall_versus if name in others]
        recall_lows = recall_lower_bounds(task, found, compared, level=level) if compared else []
        falls = {
            field: difference(_over(found, without), without, field, level=level, seed=seed)
            for field, without in blanked.items()
        }
    return MeasureFigures(
        step=parameters.step,
        items=items,
        arms={arm: score(task, answers, level=level, seed=seed) for arm, answers in arms.items()},
        differences=differences,
        recall_lows=recall_lows,
        blanked=falls,
    )


def score(task: Task, answers: Sequence[Answer], *, level: float, seed: int) -> Accuracy:
    """Balanced accuracy with its interval; what has no label is wrong, and counted apart."""
    confusion = Confusion.of(task.label.order, [(answer.truth, answer.label) for answer in answers])
    interval = balanced_accuracy(confusion.strata, level=level, seed=seed)
    return Accuracy(
        accuracy=interval.value,
        low=interval.low,
        high=interval.high,
        unparsable=sum(answer.state in ("unparsable", "cut") for answer in answers),
        over_long=sum(answer.state == "overLong" for answer in answers),
    )


def difference(arm: Sequence[Answer], other: Sequence[Answer], name: str, *, level: float, seed: int) -> Difference:
    """Arm minus other, paired by item; raises OtherItemsError where the items or their labels differ."""
    truth = _truth(arm)
    if truth != _truth(other):
        raise OtherItemsError(f"comparison {name}: its answers are for other items: measure both on the same revision")
    paired = balanced_accuracy_difference(truth, _labels(arm), _labels(other), level=level, seed=seed)
    return Difference(difference=paired.difference, low=paired.low, high=paired.high)


def left_for_serving(labels: Sequence[str], items: int, *, level: float) -> ServingFigures:
    """Of `items` those with these labels are left for what serves: how small a gain over it they can show."""
    smallest = shown_gain(list(Counter(labels).values()), level=level)
    return ServingFigures(items=len(labels), left_out=items - len(labels), smallest=smallest)


def _over(arm: Sequence[Answer], fewer: Sequence[Answer]) -> list[Answer]:
    """An arm's answers to the items of another that was asked fewer."""
    asked = {answer.id for answer in fewer}
    return [answer for answer in arm if answer.id in asked]


def recall_lower_bounds(
    task: Task, arm: Sequence[Answer], others: Sequence[Sequence[Answer]], *, level: float
) -> list[float]:
    """Per label of the task, the lowest lower bound of arm minus other in recall; -1 for a label without items."""
    found = [
        recall_differences(_truth(other), _labels(_over(arm, other)), _labels(other), level=level) for other in others
    ]
    return [min(by_label[label].low if label in by_label else -1.0 for by_label in found) for label in task.label.order]


def _truth(answers: Sequence[Answer]) -> dict[str, str]:
    return {answer.id: answer.truth for answer in answers}


def _labels(answers: Sequence[Answer]) -> dict[str, str | None]:
    return {answer.id: answer.label for answer in answers}
