"""Termination messages that no step of ours would write: figures out of all bounds, foreign words, half a file.

Whatever a pod says, the resource goes on or ends with a reason, its status is one that the API server takes, and what
is copied from a step's own words stays on one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from checks import status_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import NOW, curriculum, curriculum_spec, digest, evaluation, judged_task, ready, run_spec
from simulation import World

from flywheel.api.conditions import Condition, Event
from flywheel.api.result import PrepareFigures, StepError, StepResult, parse_result
from flywheel.loop.accept import UnexpectedResultError
from flywheel.loop.curriculum import decide_curriculum
from flywheel.loop.observed import CurriculumObserved, JobView, PodView

STEPS = (
    (0, "validate"),
    (0, "preflight"),
    (1, "exam"),
    (1, "answer"),
    (1, "evaluate"),
    (1, "train"),
    (1, "validate"),
    (1, "test"),
    (1, "judge"),
    (2, "cleanup"),
)
INT64 = 2**63
HOSTILE: list[Any] = [
    None, True, -1, 0, 1, INT64, 10**400, 1.5, float("nan"), float("inf"), -1e300, "", "x" * 3000,
    "\x1b[31mred\nline", "../../etc/passwd", "$(id)", "{{ 7 * 7 }}", "sha256:" + "g" * 64,
    [], {}, ["x"], {"k" * 300: 1},
]  # fmt: skip
REFUSAL = StepResult(error=StepError(reason="BadInput", message="it cannot be used"))


def messages(honest: Mapping[str, Any]) -> st.SearchStrategy[str]:
    """A result with one value that is not as it should be, or any text; cut as the kubelet cuts it."""
    changed = st.builds(with_value, st.just(honest), st.sampled_from(list(paths(honest))), st.sampled_from(HOSTILE))
    texts = changed.map(json.dumps) | st.text(max_size=60) | st.sampled_from(HOSTILE).map(json.dumps)
    return texts.map(lambda text: text[:4096])


def paths(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield (*above, key)
            yield from paths(entry, (*above, key))


def with_value(value: Mapping[str, Any], path: tuple[str, ...], hostile: Any) -> dict[str, Any]:
    key, *rest = path
    return {**value, key: with_value(value[key], tuple(rest), hostile) if rest else hostile}


def numbers(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from numbers(entry)
    elif isinstance(value, int):
        yield value


def check_written(crd: str, status: dict[str, Any], conditions: list[Condition], events: list[Event]) -> None:
    assert not [fault.message for fault in status_schema(crd).iter_errors(status)]
    assert all(-INT64 <= number < INT64 for number in numbers(status))
    assert all(words.isprintable() for words in (entry.message for entry in (*conditions, *events)))


def at_step(number: int, step: str) -> World:
    """A world whose newest Job is of this step."""
    spec = run_spec(maxIterations=2) | {"retention": {"iterations": 1}, "evaluation": evaluation()}
    world = World(spec=spec, curriculum=curriculum(judged_task(), ready()), data=judged_task())
    for _ in range(60):
        last = world.created[-1] if world.created else None
        if last is not None and (last.request.iteration, last.step) == (number, step):
            return world
        for job in world.jobs.values():
            if job.view.active:
                world.end(job, "success")
        world.reconcile()
    raise AssertionError(f"{step} is never made")


@settings(max_examples=200)
@given(st.data(), st.sampled_from(STEPS), st.sampled_from([0, 1, 64, 75]))
def test_whatever_a_step_says(data: st.DataObject, place: tuple[int, str], code: int) -> None:
    world = at_step(*place)
    job = world.jobs[world.created[-1].name]
    said = data.draw(messages(json.loads((REFUSAL if code else world._succeed(job)).to_message())))
    world.end(job, "success")
    pod = replace(job.view.pod or PodView("pod", "1"), exit_code=code, message=said)
    job.view = replace(job.view, state="Failed" if code else "Succeeded", pod=pod)
    if parse_result(said) is None and data.draw(st.booleans()):
        del world.workspace[job.request.output]  # it left nothing either
    world.failures[place] += 1
    try:
        world.reconcile()
    except UnexpectedResultError as error:
        assert "measured no" in str(error) or "compared the adapter with nothing" in str(error)
        return
    check_written("flywheelruns.yaml", world.status, world.read_status().conditions, world.events)
    world.to_end()


@settings(max_examples=200)
@given(st.data(), st.sampled_from([0, 64]))
def test_whatever_prepare_says(data: st.DataObject, code: int) -> None:
    """The longest labels that a spec may have fit into the status, too."""
    spec = curriculum_spec()
    spec["task"]["label"]["order"] = [f"{number:02}" + "l" * 61 for number in range(16)]
    resource = curriculum(spec)
    (made,) = decide_curriculum(CurriculumObserved(resource, ""), NOW).create
    pools = ("exam", "curriculum", "validation", "test", "probe")
    figures = PrepareFigures(
        revision="abc",
        items=dict.fromkeys(pools, 9),
        labels=dict.fromkeys(pools, [10**9] * 16),
        rejected={"NotJson": 1},
    )
    honest = REFUSAL if code else StepResult(manifest=digest("m"), figures=figures)
    said = data.draw(st.just(json.dumps(honest.to_json_object())) | messages(honest.to_json_object()))
    pod = PodView("pod", "1", started=True, exit_code=code, message=said)
    job = JobView(made.name, "1", "prepare", 1, 1, NOW, "Failed" if code else "Succeeded", pod=pod)
    plan = decide_curriculum(CurriculumObserved(resource, "", (job,)), NOW)
    check_written("curricula.yaml", plan.status.to_json_object(), plan.status.conditions, list(plan.events))
