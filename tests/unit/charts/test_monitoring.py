"""Monitors, alerts, dashboards: off, or what lies in the chart's files, to the last brace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from chart import CHART, of_kind, rendered

OFF = ("ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap")
RULES = {
    "groups": [
        {"name": "runs", "rules": [{"alert": "X", "expr": "up == 0", "annotations": {"summary": "{{ $labels.pod }}"}}]}
    ]
}
DASHBOARD = {"title": "Runs", "panels": [{"legendFormat": "{{ pod }}"}]}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with one file of each sort."""
    copy = shutil.copytree(CHART, tmp_path_factory.mktemp("made") / "chart")
    for name, text in (
        ("alerts/proof.yaml", yaml.safe_dump(RULES)),
        ("dashboards/proof.json", json.dumps(DASHBOARD, indent=2)),
        ("kube-state-metrics/proof.yaml", "kind: CustomResourceStateMetrics\nspec: {resources: []}\n"),
    ):
        file = copy / "files" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return copy


def test_they_are_off(chart: Path) -> None:
    assert of_kind(rendered(chart=chart), *OFF) == []


@pytest.mark.parametrize(("kind", "at"), [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")])
def test_a_monitor_finds_the_metrics(kind: str, at: str) -> None:
    objects = rendered(f"--set=monitoring.monitor={kind}", "--set=monitoring.labels.release=prometheus")
    (monitor,) = of_kind(objects, "ServiceMonitor", "PodMonitor")
    assert monitor["kind"] == kind and monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"][at] == [{"port": "metrics", "interval": "30s", "honorLabels": True}]
    labels, port = {
        "ServiceMonitor": (service := of_kind(objects, "Service")[0], service["spec"]["ports"][0]["name"]),
        "PodMonitor": (
            template := of_kind(objects, "Deployment")[0]["spec"]["template"],
            template["spec"]["containers"][0]["ports"][0]["name"],
        ),
    }[kind]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels["metadata"]["labels"].items()
    assert port == "metrics"


def test_alerts_are_what_the_files_say(chart: Path) -> None:
    options = ("--set=monitoring.rules=true", "--set=monitoring.labels.release=prometheus")
    made = {entry["metadata"]["name"]: entry for entry in of_kind(rendered(*options, chart=chart), "PrometheusRule")}
    assert set(made) == {f"flywheel-{path.stem}" for path in (chart / "files/alerts").glob("*.yaml")}
    assert made["flywheel-proof"]["spec"] == RULES
    assert made["flywheel-proof"]["metadata"]["labels"]["release"] == "prometheus"


def test_alerts_link_to_where_people_read() -> None:
    made = of_kind(
        rendered("--set=monitoring.rules=true", "--set=monitoring.runbookURL=https://d.example/{}.html"),
        "PrometheusRule",
    )
    rules = [rule for entry in made for group in entry["spec"]["groups"] for rule in group["rules"]]
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules}
    assert links and links == {alert: f"https://d.example/{alert}.html" for alert in links}


def test_dashboards_are_what_the_files_say(chart: Path) -> None:
    made = of_kind(rendered("--set=monitoring.dashboards=true", chart=chart), "ConfigMap")
    data = {name: text for entry in made for name, text in entry["data"].items()}
    assert set(data) == {path.name for path in (chart / "files/dashboards").glob("*.json")}
    assert json.loads(data["proof.json"]) == DASHBOARD
    assert all(entry["metadata"]["labels"]["grafana_dashboard"] == "1" for entry in made)
    assert len({entry["metadata"]["name"] for entry in made}) == len(made)


def test_kube_state_metrics_gets_its_files(chart: Path) -> None:
    (made,) = of_kind(rendered("--set=monitoring.kubeStateMetrics=true", chart=chart), "ConfigMap")
    assert made["data"] == {path.name: path.read_text() for path in (chart / "files/kube-state-metrics").glob("*")}
