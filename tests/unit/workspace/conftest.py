"""A workspace in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.workspace.store import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")
