"""A weight for the tokens of labels: asked of the trainer, and refused where an answer is nothing but the label."""

from __future__ import annotations

import pytest
from resources import curriculum, curriculum_spec, ready, run_spec
from simulation import World

from flywheel.api.flywheelrun_status import FlywheelRunStatus
from flywheel.api.request import TrainParameters

EXPLAINED = {"type": "object", "properties": {"severity": {"enum": ["critical", "minor"]}, "why": {"type": "string"}}}


def world(weight: str | None, *, explained: bool) -> World:
    spec, task = run_spec(), curriculum_spec()
    if weight is not None:
        spec["training"] |= {"labelWeight": weight}
    if explained:
        task["task"] |= {"outputSchema": EXPLAINED}
    return World(spec=spec, curriculum=curriculum(task, ready()))


def stalled(status: FlywheelRunStatus) -> tuple[str, str]:
    found = next(entry for entry in status.conditions if entry.type == "Stalled")
    return found.reason, found.message


@pytest.mark.parametrize("weight", ["2", "1.000001", "100"])
def test_a_label_alone_weighs_nothing_more_and_that_is_said_before_anything_is_spent(weight: str) -> None:
    found = world(weight, explained=False)
    plan = found.reconcile()
    assert not plan.create
    reason, message = stalled(plan.status)
    assert reason == "LabelAlone" and f"spec.training.labelWeight is {weight}," in message
    found.curriculum = world(weight, explained=True).curriculum
    assert found.reconcile().create, "mended by the Curriculum"


@pytest.mark.parametrize("weight", [None, "1", "1.0"])
def test_labels_that_weigh_no_more_need_no_text(weight: str | None) -> None:
    assert world(weight, explained=False).reconcile().create


def test_the_trainer_is_told_the_weight() -> None:
    found = world("4.5", explained=True)
    for _ in range(60):
        found.reconcile()
        for job in found.jobs.values():
            if job.view.state == "Pending":
                found.end(job, "success")
        parameters = found.created[-1].request.parameters
        if isinstance(parameters, TrainParameters):
            assert str(parameters.label_weight) == "4.5"
            return
    raise AssertionError("train is never made")
