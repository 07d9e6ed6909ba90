"""A user may run an image of his own: whatever its pod says as a result, there is a plan and a status that is legal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from checks import status_schema
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from resources import NOW, curriculum, digest
from simulation import SimJob, World

from flywheel.api.crd import all_crds
from flywheel.api.result import PrepareFigures, StepResult
from flywheel.loop.accept import UnexpectedResultError
from flywheel.loop.curriculum import decide_curriculum
from flywheel.loop.observed import CurriculumObserved, JobView, PodView

STEPS = ("exam", "answer", "evaluate", "train", "validate", "test")
NUMBERS = [True, -1, 10**30, 1e300, -1e300, float("nan"), float("inf"), 0.5]
ODD = st.sampled_from([*NUMBERS, None, "", "x" * 600, "../x", "😀", [], {}, [1], {"x": 1}])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every part of a JSON value."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*path, key))


@st.composite
def oddly(draw: st.DrawFn, said: StepResult) -> str:
    """The message with one part replaced, or with a part more."""
    value = {"result": json.loads(said.to_message())}
    *parents, last = draw(st.sampled_from([path for path in places(value) if path]))
    inner: Any = value
    for part in parents:
        inner = inner[part]
    inner[last] = draw(ODD)
    if isinstance(inner, dict) and draw(st.booleans()):
        inner[draw(st.sampled_from(["base", "x" * 40, "other"]))] = inner[last]
    return json.dumps(value["result"])[: draw(st.sampled_from([10_000, 10_000, 40]))]


@dataclass
class OddWorld(World):
    """One step's first Job says something odd."""

    step: str = ""
    data: Any = None
    said: str = ""

    def end(self, job: SimJob, outcome: str) -> None:
        super().end(job, "success")
        pod = job.view.pod
        if job.view.step == self.step and not self.said and pod is not None:
            self.said = self.data.draw(oddly(StepResult.model_validate_json(pod.message)))
            job.view = replace(job.view, pod=replace(pod, message=self.said))


@pytest.mark.parametrize("step", STEPS)
@given(data=st.data())
def test_a_run(step: str, data: st.DataObject) -> None:
    world = OddWorld(step=step, data=data)
    try:
        world.to_end()
    except UnexpectedResultError:  # the reconcile says so in a condition
        assert world.said
    assert world.said
    status_schema().validate(world.status)


PREPARED = StepResult(
    manifest=digest("m"),
    path="curricula/review/x/abc",
    figures=PrepareFigures(
        revision="abc", items={"exam": 4, "test": 2}, labels={"exam": [1, 3], "test": [2, 0]}, rejected={"NotJson": 1}
    ),
)


@given(oddly(PREPARED))
def test_a_curriculum(said: str) -> None:
    pod = PodView("p", "u", started=True, exit_code=0, message=said)
    job = JobView("j", "u", "prepare", 1, 1, NOW, state="Succeeded", pod=pod)
    schema = all_crds()["curricula.yaml"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    try:
        plan = decide_curriculum(CurriculumObserved(curriculum(), "template", (job,)), NOW)
    except UnexpectedResultError:
        return
    Draft4Validator(schema).validate(plan.status.to_json_object())
