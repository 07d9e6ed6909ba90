"""Hypothesis without a clock or chance: what fails is the commit, not the day. `make search` draws new examples.

A busy machine is no failure, and a failure says how to repeat it. No disk to wait for.
And an S3 server.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from s3_server import Server, built, running

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("unit", deadline=None, derandomize=True, max_examples=50, suppress_health_check=_SLOW)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=500, suppress_health_check=_SLOW)
settings.load_profile("unit")


@pytest.fixture(scope="session", autouse=True)
def _power_stays() -> Iterator[None]:
    """No test here can take the power away, so waiting for the disk shows nothing; test_store looks at the order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server; skipped only where it cannot be built."""
    try:
        program = built()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the S3 server cannot be built: {' '.join(error.stderr.split()[-20:])}")
    with running(program, tmp_path_factory.mktemp("s3")) as server:
        yield server
