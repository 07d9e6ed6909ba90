"""Two pods under load, and no request is lost, whatever happens. Speed is for tests/bench/rollouts.py to tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .scenarios import SCENARIOS, Stage, run, two_pods
from .server import Adapter, Models, Server

PER_SECOND = 5


@pytest.fixture(scope="module")
def stage(server: Callable[..., Server], models: Models, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Of all scenarios: each begins where the one before ended."""
    return two_pods(server, models, tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_no_request_is_lost(stage: Stage, scenario: Callable[[Stage], Adapter]) -> None:
    load, _seconds = run(stage, scenario, PER_SECOND)
    assert load.failures == []
    assert len(load.answers) > PER_SECOND
