"""What serves from another run sits the same exam, but for what it was trained on; the student is itself afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from mlbed import Bed

from flywheel.api.item import Answer, Item
from flywheel.api.request import Input
from flywheel.api.result import MeasureFigures, StepResult
from flywheel.api.task import PreparedTask
from flywheel.data.contamination import TrainedOn, untouched
from flywheel.data.pools import group_digests
from flywheel.data.tokens import TaskTokens
from flywheel.workspace.adapter import CARD, CONFIG, CONTRACT, WEIGHTS

PLAIN = {"step": "validate", "pool": "validation", "untrainedArms": False}
POOL = "curricula/test/c/r1/pools/validation/items.jsonl"


def published(bed: Bed, trained: StepResult, name: str, groups: list[str] | None, **contract: Any) -> Input:
    """The trained adapter as publish leaves it."""
    folder = f"adapters/test/{name}"
    for file in (CONFIG, WEIGHTS, CONTRACT):
        bed.workspace.write_bytes(f"{folder}/{file}", bed.workspace.read_bytes(f"{trained.path}/adapter/{file}"))
    if contract:
        own = bed.workspace.read_json(f"{folder}/{CONTRACT}")
        bed.workspace.write_json(f"{folder}/{CONTRACT}", own | contract)
    bed.workspace.write_json(f"{folder}/{CARD}", {"adapter": name, "trainedGroups": groups})
    return bed.sealed(folder, trained.figures, "serving", [CONFIG, WEIGHTS, CONTRACT, CARD])


def measured(bed: Bed, name: str, inputs: list[Input], **more: Any) -> MeasureFigures:
    from flywheel_student.measure import measure

    output = f"runs/test/serving/iter-0/validate/{name}"
    figures = bed.carry_out(measure, output, PLAIN | {"modelPath": bed.model} | more, inputs).figures
    assert isinstance(figures, MeasureFigures)
    return figures


def answers(bed: Bed, name: str, arm: str) -> list[Answer]:
    path = f"runs/test/serving/iter-0/validate/{name}/answers/{arm}.jsonl"
    return [Answer.model_validate(line) for line in bed.lines(path)]


def test_it_answers_as_when_it_was_the_candidate_but_not_about_its_own_groups(
    bed: Bed, curriculum: Input, trained: tuple[StepResult, str]
) -> None:
    items = [Item.model_validate(line) for line in bed.lines(POOL)]
    groups = sorted({item.group for item in items})
    card = group_digests([*groups[: len(groups) // 3], "a group of the past"])
    left = untouched(items, TrainedOn(trained_groups=card))
    assert 0 < len(left) < len(items)
    serving = published(bed, trained[0], "some", card)
    base = measured(bed, "a1", [curriculum, serving], untrainedArms=True, preflight={"targetModules": ["all-linear"]})
    assert base.serving is not None
    assert (base.serving.items, base.serving.left_out) == (len(left), len(items) - len(left))
    both = measured(bed, "a2", [curriculum, serving, bed.input(trained[0], "adapter", "adapter")], untrainedArms=True)
    asked = {item.id for item in left}
    of_candidate = [line for line in answers(bed, "a2", "candidate") if line.id in asked]
    for name in ("a1", "a2"):
        assert answers(bed, name, "incumbent") == of_candidate, "alone, and beside itself"
    for arm in ("base", "likelihood", "fewShot"):
        assert answers(bed, "a1", arm) == answers(bed, "a2", arm), "no arm wears what serves"
    found = both.differences["incumbent"]
    assert found.difference == 0 and both.serving == base.serving


def test_the_student_is_itself_again_when_it_takes_the_adapter_off(bed: Bed, trained: tuple[StepResult, str]) -> None:
    from flywheel_student.arms import Sitting
    from flywheel_student.model import load_student, model_folder

    adapter = bed.workspace.local(f"{trained[0].path}/adapter")
    items = [Item.model_validate(line) for line in bed.lines(POOL)][:8]
    for own in (None, adapter):
        student = load_student(model_folder(bed.model), own)
        prepared = PreparedTask.model_validate(bed.workspace.read_json("curricula/test/c/r1/task.json"))
        tokens = TaskTokens(prepared, student.tokenizer)
        before = Sitting(student, tokens, "validate", 4).candidate(items)
        with student.wearing(adapter) as worn:
            within = Sitting(worn, tokens, "validate", 4).candidate(items)
        assert Sitting(student, tokens, "validate", 4).candidate(items) == before
        assert (within == before) == (own is not None)


@pytest.mark.parametrize(
    ("name", "groups", "contract", "obstacle"),
    [("unsaid", None, {}, "GroupsUnknown"), ("other", [], {"template": "x"}, "ContractDiffers")],
)
def test_what_cannot_be_compared_is_not_measured_and_says_why(
    bed: Bed,
    curriculum: Input,
    trained: tuple[StepResult, str],
    name: str,
    groups: list[str] | None,
    contract: dict[str, str],
    obstacle: str,
) -> None:
    serving = published(bed, trained[0], name, groups, **contract)
    adapter = bed.input(trained[0], "adapter", "adapter")
    found = measured(bed, f"a{len(name)}{name}", [curriculum, serving, adapter])
    assert found.serving is not None and (found.serving.obstacle, found.serving.smallest) == (obstacle, None)
    assert set(found.arms) == {"candidate"} and "incumbent" not in found.differences
