"""One finished run and its control, for all tests of the page: read, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished_run import finished_run

from flywheel.local.control import local_runs
from flywheel.report.resources import Resources
from flywheel.workspace.store import Workspace


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of `local/severity-run`, of two iterations, and of its control."""
    return finished_run(tmp_path_factory.mktemp("finished"), iterations=2, control=True)


@pytest.fixture(scope="session")
def resources(home: Path) -> Resources:
    """The resources as the local run kept them."""
    known = local_runs(Workspace(home))
    return Resources([curriculum for curriculum, _ in known], [run for _, run in known])
