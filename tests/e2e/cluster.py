"""kubectl and manifests for tests on a real node: what a user would type, with images of this cluster's registry."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "code-review"
SYSTEM = "flywheel-system"
_IMAGE = re.compile(r"flywheel/([a-z-]+):dev")


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Standard output of kubectl; raises with its standard error when it fails."""
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def images() -> dict[str, str]:
    """Image names of this cluster, as FLYWHEEL_IMAGE_<NAME>."""
    lines = Path(os.environ["FLYWHEEL_IMAGES"]).read_text().splitlines()
    pairs = [line.removeprefix("export ").split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    return {name: value.strip("'\"") for name, value in pairs}


def with_images(text: str) -> str:
    """The text with this cluster's images in place of flywheel/<name>:dev."""
    known = images()
    return _IMAGE.sub(lambda found: known[f"FLYWHEEL_IMAGE_{found.group(1).upper().replace('-', '_')}"], text)


def helm(*arguments: str) -> str:
    """Standard output of Helm; raises with its standard error when it fails."""
    command = [f"{os.environ['FLYWHEEL_BIN']}/helm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"helm {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def install(*options: str) -> None:
    """The chart with this cluster's images, over whatever is there, as its README says; until all replicas are new."""
    known = images()
    said = [
        f"--set=images.{name}={known[f'FLYWHEEL_IMAGE_{name.upper()}']}" for name in ("operator", "student", "trainer")
    ]
    chart = str(ROOT / "charts" / "flywheel-operator")
    helm(
        "upgrade", "--install", "flywheel", chart, "--namespace", SYSTEM, "--create-namespace", "--take-ownership",
        *said, *options,
    )  # fmt: skip
    kubectl("label", "--overwrite", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/flywheel-operator", "--timeout=180s")


def uninstall() -> None:
    """As the chart's README says."""
    helm("uninstall", "flywheel", "--namespace", SYSTEM)
    kubectl("delete", "namespace", SYSTEM, "--timeout=180s")


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 180) -> None:
    """Poll until the condition holds; the limit only ends a test that hangs."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(
                f"{what} did not happen within {seconds} s\n{kubectl('get', 'pods', '-A', check=False)}"
            )
        time.sleep(1)


class Namespace:
    """A namespace with data, a base model and a teacher, as the demo has it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """kubectl in this namespace."""
        return kubectl("-n", self.name, *arguments, stdin=stdin, check=check)

    def apply(self, manifest: str | dict[str, Any]) -> str:
        """Server-side apply, as GitOps tools do it."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=with_images(text))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object; empty when there is none."""
        text = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text else {}

    def condition(self, kind: str, name: str, condition: str) -> dict[str, Any]:
        """A condition of an object; empty when it has none."""
        found = self.get(kind, name).get("status", {}).get("conditions", [])
        return next((entry for entry in found if entry["type"] == condition), {})

    def wait_reason(self, kind: str, name: str, condition: str, reason: str, seconds: float = 180) -> dict[str, Any]:
        """Wait until a condition is True for this reason, and return it."""

        def holds() -> bool:
            entry = self.condition(kind, name, condition)
            return entry.get("status") == "True" and entry.get("reason") == reason

        try:
            wait_for(f"{kind}/{name} {condition}={reason}", holds, seconds)
        except AssertionError as error:
            conditions = self.get(kind, name).get("status", {}).get("conditions")
            raise AssertionError(f"{error}\n{kind}/{name}: {conditions}") from error
        return self.condition(kind, name, condition)

    def load(self, *folders: str) -> None:
        """Make the volumes and copy folders of the example onto the workspace."""
        self.apply((EXAMPLE / "storage.yaml").read_text())
        self.kubectl("wait", "--for=condition=Ready", "pod/loader", "--timeout=180s")
        tar = subprocess.run(["tar", "-C", str(EXAMPLE), "-cf", "-", *folders], stdout=subprocess.PIPE, check=True)
        command = ["kubectl", "-n", self.name, "exec", "-i", "loader", "--"]
        unpack = ["tar", "-xf", "-", "-C", "/data", "--no-same-owner", "--no-same-permissions"]
        subprocess.run([*command, *unpack], input=tar.stdout, check=True)

    def write(self, path: str, text: str) -> None:
        """Write a file onto the workspace."""
        self.kubectl("exec", "loader", "--", "mkdir", "-p", f"/data/{path.rsplit('/', 1)[0]}")
        command = ["kubectl", "-n", self.name, "exec", "-i", "loader", "--", "tee", f"/data/{path}"]
        subprocess.run(command, input=text, text=True, stdout=subprocess.DEVNULL, check=True)

    def start_teacher(self) -> None:
        """The rehearsal teacher and its Secret."""
        self.apply((ROOT / "examples" / "rehearsal-teacher" / "teacher.yaml").read_text())
        self.kubectl("rollout", "status", "deployment/rehearsal-teacher", "--timeout=180s")


def few_findings() -> str:
    """Every sixth line of the example's data: all labels in all pools, and quick to answer."""
    lines = (EXAMPLE / "datasets" / "findings.jsonl").read_text().splitlines(keepends=True)
    return "".join(lines[::6])


def curriculum(**spec: Any) -> dict[str, Any]:
    """The example's Curriculum with fields of spec replaced."""
    manifest = yaml.safe_load((EXAMPLE / "curriculum.yaml").read_text())
    del manifest["metadata"]["namespace"]
    manifest["spec"] |= spec
    return manifest


def small_run(name: str, **spec: Any) -> dict[str, Any]:
    """A run that is quick: one iteration, a small exam, a few optimiser steps."""
    manifest = yaml.safe_load((EXAMPLE / "flywheelrun.yaml").read_text())
    manifest["metadata"] = {"name": name}
    manifest["spec"] |= {
        "exam": {"questions": 8, "examples": 16},
        "training": manifest["spec"]["training"] | {"maxSteps": 4},
        "stop": {"maxIterations": 1},
    }
    del manifest["spec"]["deploymentRef"]
    manifest["spec"] |= spec
    return manifest
