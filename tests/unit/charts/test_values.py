"""What the chart accepts and refuses, and what it says then."""

from __future__ import annotations

import json
import tomllib

import pytest
import yaml
from chart import CHART, IMAGES, ROOT, helm


def test_helm_lint_is_silent() -> None:
    done = helm("lint", "--strict", "--quiet", *IMAGES, CHART)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("images.operater=flywheel/operator:dev", "at '/images': additional properties 'operater' not allowed"),
        ("image=x", "at '': additional properties 'image' not allowed"),
        ("images.student=flywheel/student", "at '/images/student': 'flywheel/student' does not match pattern"),
        ("images.pullPolicy=Sometimes", "at '/images/pullPolicy': value must be one of"),
        ("namespaces=review", "at '/namespaces': got string, want array"),
        ("namespaces={Review}", "at '/namespaces/0': 'Review' does not match pattern"),
        ("namespaces={review,review}", "at '/namespaces': items at 0 and 1 are equal"),
        ("replicas=two", "at '/replicas': got string, want integer"),
        ("crds.keep=yes", "at '/crds/keep': got string, want boolean"),
        ("monitoring.monitor=Both", "at '/monitoring/monitor': value must be one of"),
        ("monitoring.interval=30", "at '/monitoring/interval': got number, want string"),
        ("networkPolicy.apiServerPorts={70000}", "at '/networkPolicy/apiServerPorts/0': maximum: got 70,000"),
        ("networkPolicy.teacherEgress[0].from=x", "at '/networkPolicy/teacherEgress/0': additional properties 'from'"),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(value: str, says: str) -> None:
    done = helm("template", "flywheel", CHART, *IMAGES, "--set", value)
    assert done.returncode != 0 and says in done.stderr


@pytest.mark.parametrize("name", ["operator", "student", "trainer"])
def test_an_image_that_is_missing_is_asked_for(name: str) -> None:
    """There is no default that could be pulled: better said now than in an event of a pod."""
    done = helm("template", "flywheel", CHART, *(image for image in IMAGES if f".{name}=" not in image))
    assert done.returncode != 0 and f"images.{name} is not set: a complete reference" in done.stderr


def test_the_chart_has_the_projects_version() -> None:
    """Both of the chart's: chart and operator are released together."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]


def test_the_schema_knows_every_value_and_no_other() -> None:
    """Closed at every level that is ours, and no value is forgotten in it."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(path: str, values: dict[str, object], about: dict[str, object]) -> None:
        properties = about.get("properties")
        if not isinstance(properties, dict):
            return
        assert about["additionalProperties"] is False, path
        assert set(properties) - {"global"} == set(values), path
        for name, value in values.items():
            if isinstance(value, dict):
                compare(f"{path}.{name}", value, properties[name])

    compare("", yaml.safe_load((CHART / "values.yaml").read_text()), schema)
