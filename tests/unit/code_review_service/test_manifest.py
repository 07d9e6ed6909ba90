"""What is shipped beside the program agrees with it: manifest, image and README."""

from __future__ import annotations

from typing import Any

import yaml

from .conftest import EXAMPLE, Load


def pod() -> Any:
    found = {each["kind"]: each for each in yaml.safe_load_all((EXAMPLE / "service.yaml").read_text())}
    assert found["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}, "two pods cannot write one log"
    return found["Deployment"]["spec"]["template"]["spec"]


def test_the_pod_is_restricted_and_holds_no_token() -> None:
    spec = pod()
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"] and container["readinessProbe"] and container["livenessProbe"]


def test_its_settings_are_settings_and_the_readme_names_all(module: Load) -> None:
    (container,) = pod()["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    settings = module("service_settings").Settings
    assert {name.lower() for name in environment} <= set(settings.model_fields)
    log = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "workspace"]
    assert log == [str(settings.read(environment).log_folder)]
    readme = (EXAMPLE / "README.md").read_text()
    assert [name for name in settings.model_fields if f"`{name.upper()}`" not in readme] == []


def test_the_image_holds_every_module() -> None:
    image = (EXAMPLE / "Dockerfile").read_text()
    assert [path.name for path in EXAMPLE.glob("*.py") if f"{path.parent.name}/{path.name} " not in image] == []
