"""Which driver talks to a target's pods: the one place that chooses."""

from __future__ import annotations

from collections.abc import Sequence

from flywheel.api.target import Target, TritonTarget
from flywheel.serving import openai_server, triton
from flywheel.serving.calls import Call, CallFailure, Endpoint, ServingPodView
from flywheel.serving.openai_server import Guard


def look_at_all(endpoints: Sequence[Endpoint], target: Target, guard: Guard) -> tuple[ServingPodView, ...]:
    """What every pod serves."""
    if isinstance(server := target.server, TritonTarget):
        return triton.look_at_all(endpoints, server.model, guard)
    return openai_server.look_at_all(endpoints, server, guard)


def perform(calls: Sequence[Call], target: Target, guard: Guard) -> tuple[CallFailure, ...]:
    """Carry out a plan's calls, and say which failed."""
    if isinstance(server := target.server, TritonTarget):
        return triton.perform(calls, guard)
    return openai_server.perform(calls, server, guard)


def look_seconds(target: Target, pods: int) -> float:
    """The longest that looking at so many pods may take."""
    return (triton if target.triton is not None else openai_server).look_seconds(pods)


def perform_seconds(target: Target, calls: int) -> float:
    """The longest that so many calls may take."""
    return (triton if target.triton is not None else openai_server).perform_seconds(calls)
