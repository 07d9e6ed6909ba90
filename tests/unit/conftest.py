"""Hypothesis without a clock: a busy machine is no failure, and a failure says how to repeat it. And an S3 server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from s3_server import Server, built, running

settings.register_profile(
    "unit", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("unit")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server; skipped only where it cannot be built."""
    try:
        program = built()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the S3 server cannot be built: {' '.join(error.stderr.split()[-20:])}")
    with running(program, tmp_path_factory.mktemp("s3")) as server:
        yield server
