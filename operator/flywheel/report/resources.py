"""Resources as `kubectl get -o yaml` prints them, one by one or as a List, and which of them belong to a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from flywheel.api.adapterdeployment import AdapterDeployment
from flywheel.api.curriculum import Curriculum
from flywheel.api.flywheelrun import FlywheelRun
from flywheel.loop.naming import run_folder


class BadResourcesError(Exception):
    """A file of resources that cannot be read; the message says where and what."""


@dataclass(frozen=True)
class Resources:
    """What was given of the resources; perhaps nothing."""

    curricula: list[Curriculum] = field(default_factory=list[Curriculum])
    runs: list[FlywheelRun] = field(default_factory=list[FlywheelRun])
    deployments: list[AdapterDeployment] = field(default_factory=list[AdapterDeployment])

    def run(self, home: str) -> FlywheelRun | None:
        """The run whose folder in the workspace this is: its uid tells it from one that was re-created."""
        return next((run for run in self.runs if run_folder(run.metadata) == home), None)

    def curriculum_of(self, run: FlywheelRun | None) -> Curriculum | None:
        """The Curriculum that a run learns from."""
        if run is None:
            return None
        wanted = (run.metadata.namespace, run.spec.curriculum_ref.name)
        return next((one for one in self.curricula if (one.metadata.namespace, one.metadata.name) == wanted), None)

    def deployment_of(self, run: FlywheelRun | None) -> AdapterDeployment | None:
        """The AdapterDeployment that takes a run's candidates."""
        if run is None or run.spec.deployment_ref is None:
            return None
        wanted = (run.metadata.namespace, run.spec.deployment_ref.name)
        return next((one for one in self.deployments if (one.metadata.namespace, one.metadata.name) == wanted), None)


def read_resources(folder: Path) -> Resources:
    """All resources of our kinds in a folder's YAML files. Raises BadResourcesError."""
    found = Resources()
    for path in sorted(folder.glob("*.y*ml")):
        for document in _documents(path):
            try:
                match document.get("kind"):
                    case "Curriculum":
                        found.curricula.append(Curriculum.model_validate(document))
                    case "FlywheelRun":
                        found.runs.append(FlywheelRun.model_validate(document))
                    case "AdapterDeployment":
                        found.deployments.append(AdapterDeployment.model_validate(document))
                    case _:
                        pass
            except ValidationError as error:
                faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
                raise BadResourcesError(f"{path}: {'; '.join(faults)}") from error
    if not found.runs:
        raise BadResourcesError(f"{folder} holds no FlywheelRun: kubectl get fwr,curr,adep -o yaml > {folder}/all.yaml")
    return found


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    try:
        loaded: list[object] = list(yaml.safe_load_all(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadResourcesError(f"{path} is not YAML: {error}") from error
    yield from _flat(loaded)


def _flat(documents: Iterable[object]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        fields = cast("dict[str, Any]", document)
        items = fields.get("items")
        if fields.get("kind") == "List" and isinstance(items, list):
            yield from _flat(cast("list[object]", items))
        else:
            yield fields
