"""What the operator's Deployment tells it, by environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from flywheel.controller.step_defaults import ImageName

TASK_TEMPLATE = "task.j2"


class BadSettingsError(Exception):
    """A variable that is missing or wrong; the message says which."""


@dataclass(frozen=True)
class Settings:
    """`namespaces` empty: all of them. `pod` and its namespace: who we are, and where the Lease is."""

    images: Mapping[ImageName, str]
    template: str
    namespaces: tuple[str, ...] = ()
    port: int = 8080
    pod: str = "flywheel-operator"
    pod_namespace: str = "flywheel-system"
    audit_seconds: float = field(default=60.0, kw_only=True)


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment; raises BadSettingsError."""
    images: dict[ImageName, str] = {}
    for name in get_args(ImageName):
        variable = f"FLYWHEEL_IMAGE_{name.upper()}"
        if not environment.get(variable):
            raise BadSettingsError(f"{variable} is not set: it names the image of the steps that {name} runs")
        images[name] = environment[variable]
    prompts = environment.get("FLYWHEEL_PROMPTS")
    path = Path(prompts or "prompts") / TASK_TEMPLATE
    try:
        template = path.read_text()
    except OSError as error:
        raise BadSettingsError(f"{path} cannot be read: FLYWHEEL_PROMPTS names the folder of the prompts") from error
    port = environment.get("FLYWHEEL_PORT") or "8080"
    if not port.isdigit():
        raise BadSettingsError(f"FLYWHEEL_PORT is {port!r}: it must be a port number")
    for variable in ("POD_NAME", "POD_NAMESPACE"):
        if not environment.get(variable):
            raise BadSettingsError(f"{variable} is not set: the Deployment takes it from the pod's metadata")
    namespaces = tuple(part.strip() for part in environment.get("FLYWHEEL_NAMESPACES", "").split(",") if part.strip())
    return Settings(
        images=images,
        template=template,
        namespaces=namespaces,
        port=int(port),
        pod=environment["POD_NAME"],
        pod_namespace=environment["POD_NAMESPACE"],
    )
