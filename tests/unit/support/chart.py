"""Helm and what the chart renders, for tests."""

from __future__ import annotations

import copy
import functools
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml
from built_programs import programs

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts/flywheel-operator"
IMAGES = tuple(f"--set=images.{name}=flywheel/{name}:dev" for name in ("operator", "student", "trainer"))
Object = dict[str, Any]


def helm(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Helm; its exit code and what it said are the caller's to judge."""
    command = [str(programs("helm") / "helm"), *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def rendered(
    *options: str, namespace: str = "flywheel-system", chart: Path = CHART, crds: bool = False
) -> list[Object]:
    """Every object of the chart with these options; images are named. The CRDs are long, so only when asked for."""
    return copy.deepcopy(
        _rendered(*options, "--namespace", namespace, f"--set=crds.enabled={str(crds).lower()}", str(chart))
    )


@functools.cache
def _rendered(*options: str) -> list[Object]:
    done = helm("template", "flywheel", *IMAGES, *options)
    assert done.returncode == 0, done.stderr
    return [entry for entry in yaml.load_all(done.stdout, yaml.CSafeLoader) if entry]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Those of these kinds."""
    return [entry for entry in objects if entry["kind"] in kinds]
