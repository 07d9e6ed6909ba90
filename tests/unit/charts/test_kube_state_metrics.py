"""The configuration for kube-state-metrics: paths are fields of our CRDs, metrics have what their type needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CONFIG = yaml.safe_load((ROOT / "charts/flywheel-operator/files/kube-state-metrics/config.yaml").read_text())
KINDS = {
    crd["spec"]["names"]["kind"]: crd for crd in (yaml.safe_load(p.read_text()) for p in (ROOT / "crds").iterdir())
}
METADATA = {"type": "object", "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}}}


def schema(kind: str) -> dict[str, Any]:
    version = KINDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return version | {"properties": version["properties"] | {"metadata": METADATA}}


def field(of: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The schema at a path; of a list, that of its entries."""
    for name in path:
        of = of["properties"][name]
        of = of["items"] if of["type"] == "array" else of
    return of


def test_it_is_about_our_kinds_and_only_once() -> None:
    assert CONFIG["kind"] == "CustomResourceStateMetrics"
    resources = CONFIG["spec"]["resources"]
    assert sorted(entry["groupVersionKind"]["kind"] for entry in resources) == sorted(KINDS)
    names = [(entry["metricNamePrefix"], metric["name"]) for entry in resources for metric in entry["metrics"]]
    assert len(names) == len(set(names))


def test_every_path_is_a_field_and_every_value_one_that_can_be_a_number() -> None:
    for resource in CONFIG["spec"]["resources"]:
        version = resource["groupVersionKind"]
        crd = KINDS[version["kind"]]["spec"]
        assert (version["group"], version["version"]) == (crd["group"], crd["versions"][0]["name"])
        root = schema(version["kind"])
        for path in resource["labelsFromPath"].values():
            assert field(root, path)["type"] == "string"
        for metric in resource["metrics"]:
            assert metric["help"].endswith(".")
            _check(root, metric["each"])


def _check(root: dict[str, Any], each: dict[str, Any]) -> None:
    kind = each["type"]
    details = each[kind[0].lower() + kind[1:]]
    found = field(root, details["path"])
    for path in details.get("labelsFromPath", {}).values():
        assert field(found, path)["type"] in ("string", "integer")
    if kind == "StateSet":
        states = field(found, details["valueFrom"])
        assert details["list"] == states["enum"] and details["labelName"] not in details["labelsFromPath"]
    elif kind == "Gauge":
        value = field(found, details["valueFrom"]) if "valueFrom" in details else found
        assert value["type"] in ("integer", "boolean") or "pattern" in value, "text must be a decimal"
    else:
        assert kind == "Info" and details["labelsFromPath"]
