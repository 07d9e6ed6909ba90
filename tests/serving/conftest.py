"""Servers and models for the tests here. What this machine lacks is said, and the tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .server import LackingError, Models, Server, installed_server, make_models, ml_environment


@pytest.fixture(scope="session")
def ml_python() -> Path:
    """Python with torch, transformers and PEFT."""
    try:
        return ml_environment()
    except LackingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def triton(ml_python: Path) -> Path:
    """An installed server."""
    try:
        return installed_server(ml_python)
    except LackingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def models(ml_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A base model that knows nothing, and an adapter for each label."""
    return make_models(ml_python, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(
    models: Models, triton: Path, ml_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Starts servers, each on a repository of its own or on one that is given; they are stopped with the module."""
    home = tmp_path_factory.mktemp("servers")
    started: list[Server] = []

    def start(repository: Path | None = None, **how: Any) -> Server:
        folder = repository or home / f"repository{len(started)}"
        folder.mkdir(exist_ok=True)
        one = Server(folder, models.home / "base", triton, ml_python, home / f"log{len(started)}", **how)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()
        shutil.rmtree(one.repository, ignore_errors=True)
