"""Reads the resources that a user would apply, with the same strictness: an unknown field is an error with its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun

Kind = TypeVar("Kind", bound=BaseModel)


class ManifestError(Exception):
    """A manifest that the API server would refuse, or that is missing; the message says where and what."""


def read_manifests(folder: Path) -> tuple[Curriculum, FlywheelRun]:
    """The one Curriculum and the one FlywheelRun in a folder's YAML files. Raises ManifestError."""
    documents: list[tuple[Path, dict[str, Any]]] = []
    for path in sorted(folder.glob("*.y*ml")):
        try:
            loaded = list(yaml.safe_load_all(path.read_text()))
        except yaml.YAMLError as error:
            raise ManifestError(f"{path} is not YAML: {error}") from error
        documents += [(path, cast("dict[str, Any]", entry)) for entry in loaded if isinstance(entry, dict)]
    curriculum = _only(documents, "Curriculum", Curriculum, folder)
    require_reached(curriculum, folder)
    return curriculum, _only(documents, "FlywheelRun", FlywheelRun, folder)


def require_reached(curriculum: Curriculum, folder: Path) -> None:
    """Raises ManifestError for a source that is no path, which could be in the folder."""
    for source in curriculum.spec.sources:
        dataset, repository = source.dataset, source.repository
        if (dataset and dataset.path is None) or (repository and repository.persistent_volume_claim):
            raise ManifestError(f"source {source.name} is not reached from here: name a path of {folder}")


def _only(documents: list[tuple[Path, dict[str, Any]]], name: str, kind: type[Kind], folder: Path) -> Kind:
    found = [(path, document) for path, document in documents if document.get("kind") == name]
    if len(found) != 1:
        raise ManifestError(f"{folder} must hold exactly one {name}, it holds {len(found)}")
    path, document = found[0]
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise ManifestError(f"{path}: {faults}") from error
