"""A workspace in a folder of its own, and pods that share one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pods import Pod, on_bucket, on_volume

from flywheel.workspace.store import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(params=["volume", "bucket"])
def pod(request: pytest.FixtureRequest, tmp_path: Path) -> Pod:
    """Makes the workspace that a step with that request has; all of them are one."""
    if request.param == "volume":
        return on_volume(tmp_path)
    return on_bucket(tmp_path, request.getfixturevalue("s3"))


@pytest.fixture
def bucket_pod(request: pytest.FixtureRequest, tmp_path: Path) -> Pod:
    return on_bucket(tmp_path, request.getfixturevalue("s3"))
