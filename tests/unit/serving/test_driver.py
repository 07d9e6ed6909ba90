"""What the driver for Triton does where no server is needed to see it; the rest is in tests/serving."""

from __future__ import annotations

import logging

import pytest

from flywheel.serving.calls import Endpoint, LoadModel
from flywheel.serving.drivers import look_at_all, perform

from .world import deployment


def test_a_pod_that_is_away_is_told_of_in_the_view_and_not_in_the_log_besides(caplog: pytest.LogCaptureFixture) -> None:
    """Each look would say so again."""
    target, nowhere = deployment().spec.target, Endpoint("triton-0", "127.0.0.1:1")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            (view,) = look_at_all((nowhere,), target, lambda: None)
            (failure,) = perform((LoadModel(nowhere, "severity", "sha256:1"),), target, lambda: None)
    assert "cannot be reached" in view.error == failure.message
    assert not view.dead
    assert caplog.records == []
