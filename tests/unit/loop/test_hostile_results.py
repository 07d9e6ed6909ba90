"""Termination messages that no step of ours would write: figures out of all bounds, foreign words, half a file.

Whatever a pod says, the run goes on, ends with a reason, or is refused in our own words; its status stays one that the
API server takes; and nothing that was said is in a condition unless it came as a step's own words, on one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from checks import status_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import run_spec
from simulation import World

from flywheel.api.result import StepError, StepResult, parse_result
from flywheel.loop.accept import UnexpectedResultError

STEPS = ((0, "validate"), (1, "exam"), (1, "answer"), (1, "evaluate"), (1, "train"), (1, "validate"), (1, "test"))
INT64 = 2**63
HOSTILE: list[Any] = [
    None, True, -1, 0, 1, INT64, 10**400, 1.5, float("nan"), float("inf"), -1e300, "", "x" * 3000,
    "\x1b[31mred\nline", "../../etc/passwd", "$(id)", "{{ 7 * 7 }}", "sha256:" + "g" * 64, [], {}, ["x"], {"k" * 300: 1},
]  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything in a JSON value, also of what holds others."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))


def with_value(value: dict[str, Any], path: tuple[Any, ...], hostile: Any) -> dict[str, Any]:
    key, *rest = path
    return {**value, key: with_value(value[key], tuple(rest), hostile) if rest else hostile}


def at_step(number: int, step: str) -> World:
    """A world whose newest Job is of this step."""
    world = World(spec=run_spec(maxIterations=1))
    for _ in range(40):
        last = world.created[-1] if world.created else None
        if last is not None and (last.request.iteration, last.step) == (number, step):
            return world
        for job in world.jobs.values():
            if job.view.active:
                world.end(job, "success")
        world.reconcile()
    raise AssertionError(f"{step} is never made")


def numbers(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from numbers(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from numbers(entry)
    elif isinstance(value, int):
        yield value


@settings(max_examples=400)
@given(st.data(), st.sampled_from(STEPS), st.sampled_from([0, 1, 64, 75]))
def test_whatever_a_pod_says(data: st.DataObject, place: tuple[int, str], code: int) -> None:
    world = at_step(*place)
    job = world.jobs[world.created[-1].name]
    refusal = StepResult(error=StepError(reason="BadInput", message="it cannot be used"))
    honest = json.loads((refusal if code else world._succeed(job)).to_message())
    if data.draw(st.booleans()):
        path = data.draw(st.sampled_from(list(leaves(honest))))
        said = json.dumps(with_value(honest, path, data.draw(st.sampled_from(HOSTILE))))
    else:
        said = data.draw(st.text(max_size=60) | st.sampled_from([json.dumps(value) for value in HOSTILE]))
    world.end(job, "success")
    assert job.view.pod is not None
    job.view = replace(
        job.view,
        state="Failed" if code else "Succeeded",
        pod=replace(job.view.pod, exit_code=code, message=said[:4096]),
    )
    if parse_result(said[:4096]) is None and data.draw(st.booleans()):
        del world.workspace[job.request.output]  # it left nothing either
    world.failures[place] += 1
    try:
        world.reconcile()
    except UnexpectedResultError as error:
        assert all(part not in str(error) for part in ("red", "passwd", "xxx"))
        return
    faults = [fault.message for fault in status_schema().iter_errors(world.status)]
    assert not faults
    assert all(-INT64 <= number < INT64 for number in numbers(world.status))
    words = [entry.message for entry in world.read_status().conditions] + [event.message for event in world.events]
    assert all(said.isprintable() for said in words)
    world.to_end()
