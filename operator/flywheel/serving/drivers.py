"""Which driver talks to a target's pods, and to how many at once: the one place that chooses."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from flywheel.api.target import Target, TritonTarget
from flywheel.serving import openai_server, triton
from flywheel.serving.access import OPEN, Access
from flywheel.serving.calls import Call, CallFailure, Endpoint, Guard, ServingPodView

_AT_ONCE = 8


def look_at_all(
    endpoints: Sequence[Endpoint], target: Target, guard: Guard, access: Access = OPEN
) -> tuple[ServingPodView, ...]:
    """What every pod serves; slow ones do not wait for each other."""

    def look(endpoint: Endpoint) -> ServingPodView:
        if isinstance(server := target.server, TritonTarget):
            return triton.look(endpoint, server.model, guard, access)
        return openai_server.look(endpoint, server, guard, access)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(look, endpoints))


def perform(calls: Sequence[Call], target: Target, guard: Guard, access: Access = OPEN) -> tuple[CallFailure, ...]:
    """Carry out a plan's calls, and say which failed; the next observation is told of them once."""

    def carry_out(call: Call) -> CallFailure | None:
        if isinstance(server := target.server, TritonTarget):
            return triton.perform(call, guard, access)
        return openai_server.perform(call, server, guard, access)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(failure for failure in pool.map(carry_out, calls) if failure is not None)


def look_seconds(target: Target, pods: int) -> float:
    """The longest that looking at so many pods may take."""
    return _turns(pods) * (triton if target.triton is not None else openai_server).POD_SECONDS


def perform_seconds(target: Target, calls: int) -> float:
    """The longest that so many calls may take."""
    return _turns(calls) * (triton if target.triton is not None else openai_server).CALL_SECONDS


def _turns(count: int) -> int:
    return 1 + count // _AT_ONCE
